/** Calls to a homeserver as its users make them: just enough for tests to read well. */

import { createHmac, randomBytes } from "node:crypto";

import { REGISTRATION_SECRET } from "./synapse-config.ts";

/** A homeserver's answer that was not 200. */
class CallFailed extends Error {
  override readonly name = "CallFailed";
  readonly status: number;
  readonly body: unknown;

  constructor(what: string, status: number, body: unknown) {
    super(`${what}: ${status} ${JSON.stringify(body)}`);
    this.status = status;
    this.body = body;
  }
}

export type Json = Record<string, unknown>;

/** A user with an access token. `call` takes a path below `/_matrix/client/v3`, or a whole one, from `/_matrix` or `/_synapse` on. */
export class TestUser {
  readonly url: string;
  readonly userId: string;
  readonly accessToken: string;
  readonly deviceId: string;
  /** Added to every call: an application service acts as this user. */
  readonly #as: string | undefined;

  constructor(url: string, userId: string, accessToken: string, deviceId: string, as?: string) {
    this.url = url;
    this.userId = userId;
    this.accessToken = accessToken;
    this.deviceId = deviceId;
    this.#as = as;
  }

  /** The same user at another address, e.g. at a server in front of the homeserver. */
  at(url: string): TestUser {
    return new TestUser(url, this.userId, this.accessToken, this.deviceId, this.#as);
  }

  /** @throws CallFailed */
  call<T = Json>(method: string, path: string, body?: unknown): Promise<T> {
    const as = this.#as === undefined ? "" : `${path.includes("?") ? "&" : "?"}user_id=${encodeURIComponent(this.#as)}`;
    return call<T>(this.url, method, path + as, body, this.accessToken);
  }

  /** The new room's id. `body` as of POST /createRoom. */
  async createRoom(body: Json = {}): Promise<string> {
    return (await this.call<{ room_id: string }>("POST", "/createRoom", body)).room_id;
  }

  async join(roomId: string): Promise<void> {
    await this.call("POST", `/join/${encodeURIComponent(roomId)}`, {});
  }

  async leave(roomId: string): Promise<void> {
    await this.call("POST", `/rooms/${encodeURIComponent(roomId)}/leave`, {});
  }

  async invite(roomId: string, userId: string): Promise<void> {
    await this.call("POST", `/rooms/${encodeURIComponent(roomId)}/invite`, { user_id: userId });
  }

  async kick(roomId: string, userId: string): Promise<void> {
    await this.call("POST", `/rooms/${encodeURIComponent(roomId)}/kick`, { user_id: userId });
  }

  /** The event's id. `content`: a text message's body, or a whole content. */
  async send(roomId: string, content: string | Json, type = "m.room.message"): Promise<string> {
    const body = typeof content === "string" ? { msgtype: "m.text", body: content } : content;
    const path = `/rooms/${encodeURIComponent(roomId)}/send/${encodeURIComponent(type)}/${randomBytes(8).toString("hex")}`;
    return (await this.call<{ event_id: string }>("PUT", path, body)).event_id;
  }

  async setState(roomId: string, type: string, stateKey: string, content: Json): Promise<string> {
    const path = `/rooms/${encodeURIComponent(roomId)}/state/${encodeURIComponent(type)}/${encodeURIComponent(stateKey)}`;
    return (await this.call<{ event_id: string }>("PUT", path, content)).event_id;
  }

  async sendToDevice(type: string, messages: Record<string, Record<string, Json>>): Promise<void> {
    await this.call("PUT", `/sendToDevice/${encodeURIComponent(type)}/${randomBytes(8).toString("hex")}`, { messages });
  }

  async typing(roomId: string, typing: boolean): Promise<void> {
    const path = `/rooms/${encodeURIComponent(roomId)}/typing/${encodeURIComponent(this.userId)}`;
    await this.call("PUT", path, typing ? { typing, timeout: 30_000 } : { typing });
  }

  async readReceipt(roomId: string, eventId: string, kind = "m.read"): Promise<void> {
    await this.call("POST", `/rooms/${encodeURIComponent(roomId)}/receipt/${encodeURIComponent(kind)}/${encodeURIComponent(eventId)}`, {});
  }

  async logout(): Promise<void> {
    await this.call("POST", "/logout", {});
  }
}

/** Where a homeserver is, and what its tests may do with it. */
export type HomeserverAddress = { readonly url: string; readonly serverName: string; readonly asToken: string };

/** The users of a homeserver. */
export class HomeserverUsers {
  readonly #address: HomeserverAddress;

  constructor(address: HomeserverAddress) {
    this.#address = address;
  }

  /** A new user with a first device. */
  async registerUser(name: string, deviceId = "FIRST"): Promise<TestUser> {
    const body = { username: name, password: passwordOf(name), device_id: deviceId, auth: { type: "m.login.dummy" } };
    return this.#user(await call<LoginAnswer>(this.#address.url, "POST", "/register", body));
  }

  /** A new user who may use the homeserver's admin API. */
  async registerAdmin(name: string): Promise<TestUser> {
    const path = "/_synapse/admin/v1/register";
    const { nonce } = await call<{ nonce: string }>(this.#address.url, "GET", path);
    const password = passwordOf(name);
    const mac = createHmac("sha1", REGISTRATION_SECRET).update([nonce, name, password, "admin"].join("\0")).digest("hex");
    return this.#user(await call<LoginAnswer>(this.#address.url, "POST", path, { nonce, username: name, password, admin: true, mac }));
  }

  /** The same user with a further device (or a new token of the one it has). */
  async login(name: string, deviceId: string): Promise<TestUser> {
    const identifier = { type: "m.id.user", user: name };
    const body = { type: "m.login.password", identifier, password: passwordOf(name), device_id: deviceId };
    return this.#user(await call<LoginAnswer>(this.#address.url, "POST", "/login", body));
  }

  /** A new user without a device, moved by the application service: quick to make by the thousand. `name` begins with `puppet`. */
  async registerPuppet(name: string): Promise<TestUser> {
    const { url, asToken } = this.#address;
    const body = { type: "m.login.application_service", username: name, inhibit_login: true };
    const { user_id } = await call<{ user_id: string }>(url, "POST", "/register", body, asToken);
    return new TestUser(url, user_id, asToken, "", user_id);
  }

  #user(answer: LoginAnswer): TestUser {
    return new TestUser(this.#address.url, answer.user_id, answer.access_token, answer.device_id);
  }
}

type LoginAnswer = { readonly user_id: string; readonly access_token: string; readonly device_id: string };

/** What `registerUser` gives a user. */
export function passwordOf(name: string): string {
  return `password of ${name}`;
}

async function call<T>(url: string, method: string, path: string, body?: unknown, token?: string): Promise<T> {
  const response = await fetch(url + (path.startsWith("/_") ? path : `/_matrix/client/v3${path}`), {
    method,
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer: unknown = await response.json();
  if (!response.ok) throw new CallFailed(`${method} ${path}`, response.status, answer);
  return answer as T;
}
