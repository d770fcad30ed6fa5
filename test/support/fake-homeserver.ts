/**
 * A homeserver that says what the test tells it to say, over real HTTP on loopback.
 *
 *     const hs = await startFakeHomeserver();
 *     const token = hs.login("@alice:test", "PHONE");
 *     hs.queueSync(token, v2({ join: { "!a:test": { timeline: [ev.message("@bob:test")] } } }));
 *     ... something polls ...
 *     await hs.waitForPoll(token);      // all that was queued has been taken, and the poller has asked again
 *     await hs.stop();
 *
 * `/sync`: each device has a log of responses. No `since` gets the first one; the `next_batch` of one gets the next one; so a
 * `since` asked for again gets the same again, as from a real homeserver. Any other `since` gets the first never served one
 * (and that again).
 * Where none is left the request waits as a long poll, and gets an empty response (with `next_batch` = its `since`) at its timeout.
 */

import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type Json, v2 } from "./events.ts";
import { type Device, keysOf, newDevice } from "./fake-device.ts";
import { type FakeReply, type FakeRequest, type Fault, matches, type RequestMatch, send } from "./fake-http.ts";
import { asksForPresence, asksForProfiles } from "./single-section-polls.ts";

export { ev, newRoom, receipt, toDevice, typing, v2, type Json, type MatrixEvent, type RoomParts, type V2Parts } from "./events.ts";
export type { FakeReply, FakeRequest, Fault, RequestMatch } from "./fake-http.ts";

export type Handler = (request: FakeRequest) => FakeReply | Promise<FakeReply>;

type Token = { readonly device: Device; dead: { readonly softLogout: boolean } | null };
type Route = { readonly method: string; readonly pattern: RegExp; readonly names: readonly string[]; readonly handler: Handler };

export class FakeHomeserver {
  /** Every request, oldest first. */
  readonly requests: FakeRequest[] = [];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #tokens = new Map<string, Token>();
  readonly #devices = new Map<string, Device>();
  readonly #routes: Route[] = [];
  readonly #faults: { readonly match: RequestMatch; readonly fault: Fault; left: number }[] = [];
  readonly #watchers = new Set<() => void>();

  constructor() {
    this.#server = createServer((request, response) => void this.#serve(request, response));
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    this.on("GET", "/_matrix/client/versions", () => ({ body: { versions: ["v1.1", "v1.11"], unstable_features: {} } }));
    this.on("GET", "/_matrix/client/v3/account/whoami", (request) => {
      const { userId, deviceId } = this.#device(request.token);
      return { body: { user_id: userId, ...(deviceId === null ? {} : { device_id: deviceId }), is_guest: false } };
    });
    this.on("GET", "/_matrix/client/v3/sync", (request) => this.#sync(request));
    this.on("POST", "/_matrix/client/v3/logout", (request) => {
      if (request.token !== undefined) this.revoke(request.token);
      return { body: {} };
    });
  }

  /** Base URL, without a slash at the end. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  // ---- who there is

  /** Makes an access token of the user's device (made too if it is new); `deviceId` null: whoami tells none. */
  login(userId: string, deviceId: string | null = "DEV", token = `tok_${this.#tokens.size + 1}_${userId.slice(1).split(":")[0]}`): string {
    const key = `${userId} ${deviceId ?? ""}`;
    let device = this.#devices.get(key);
    if (!device) {
      device = newDevice(userId, deviceId);
      this.#devices.set(key, device);
    }
    this.#tokens.set(token, { device, dead: null });
    return token;
  }

  /** From now on the token gets 401 M_UNKNOWN_TOKEN; its waiting polls at once. */
  revoke(token: string, softLogout = false): void {
    const known = this.#tokens.get(token);
    if (!known) return;
    known.dead = { softLogout };
    for (const wake of known.device.waiting) wake();
  }

  // ---- what it says

  /** Adds to the log of the token's device: an object as JSON (numbered `s1`, `s2`, … where it has no next_batch), a string as it is. */
  queueSync(token: string, ...responses: (Json | string)[]): void {
    const device = this.#known(token);
    for (const response of responses) {
      const told = typeof response === "string" ? /"next_batch"\s*:\s*"([^"]*)"/.exec(response)?.[1] : response["next_batch"];
      const nextBatch = typeof told === "string" ? told : `s${device.log.length + 1}`;
      const text = typeof response === "string" ? response : JSON.stringify({ ...response, next_batch: nextBatch });
      device.log.push({ nextBatch, text, keys: typeof response === "string" ? null : keysOf(response) });
    }
    for (const wake of device.waiting) wake();
  }

  /** From now on answers to polls of the token's device that say nothing else say this of its keys, as those of real homeservers do. */
  setKeys(token: string, oneTimeKeys: Record<string, number>, fallbackTypes: string[]): void {
    this.#known(token).keys = v2({ one_time_keys: oneTimeKeys, fallback_keys: fallbackTypes });
  }

  /** From now on questions for the presence of others alone are answered with these events; see asksForPresence. */
  setPresence(token: string, ...events: Json[]): void {
    this.#known(token).presence = events;
  }

  /** From now on it has MSC4429, and questions for the present profiles alone are answered with these: user → field → value. */
  setProfiles(token: string, profiles: Json): void {
    this.on("GET", "/_matrix/client/versions", () => ({ body: { versions: ["v1.11"], unstable_features: { "org.matrix.msc4429": true } } }));
    this.#known(token).profiles = profiles;
  }

  /** With true, `timeout=0` waits as well until something is queued (a homeserver that takes long). */
  holdSync(token: string, hold = true): void {
    const device = this.#known(token);
    device.hold = hold;
    for (const wake of device.waiting) wake();
  }

  /** Answers `method path`; `:name` in the path matches one segment (decoded into params). A later route wins over an earlier one. */
  on(method: string, path: string, handler: Handler | FakeReply): void {
    const names = [...path.matchAll(/:(\w+)/g)].map((match) => match[1] ?? "");
    const pattern = new RegExp(`^${path.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replace(/:\w+/g, "([^/]+)")}$`);
    this.#routes.unshift({ method, pattern, names, handler: typeof handler === "function" ? handler : () => handler });
  }

  /** The next `times` matching requests get the fault instead of their answer (with only `delayMs`: their answer, later). */
  fail(match: RequestMatch, fault: Fault, times = 1): void {
    this.#faults.push({ match, fault, left: times });
  }

  /** Takes all faults back. */
  heal(): void {
    this.#faults.length = 0;
  }

  // ---- what it was asked

  /** Requests so far that match. */
  seen(match: RequestMatch = {}): FakeRequest[] {
    return this.requests.filter((request) => matches(request, match));
  }

  /** The `/sync` requests of a token so far. */
  polls(token: string): FakeRequest[] {
    return this.seen({ path: /\/sync$/, token });
  }

  /** How many polls of the token's device there were at the same time, at most. */
  peakPolls(token: string): number {
    return this.#known(token).peakPolls;
  }

  /** Waits until a poll of the token hangs with nothing left to take: all that was queued has been stored by the poller. */
  async waitForPoll(token: string, timeoutMs = 30_000): Promise<FakeRequest> {
    const waiting = () =>
      this.#known(token).waiting.size > 0 ? this.polls(token).findLast((poll) => poll.status === undefined && !poll.signal.aborted) : undefined;
    return this.#until(waiting, timeoutMs, `a poll of ${token}`);
  }

  /** Waits until `count` matching requests have come (also those of before); the newest. */
  async waitForRequest(match: RequestMatch, count = 1, timeoutMs = 30_000): Promise<FakeRequest> {
    return this.#until(() => this.seen(match)[count - 1], timeoutMs, `request ${count} like ${JSON.stringify(match)}`);
  }

  /** Forgets the requests that it has answered. */
  forget(): void {
    this.requests.splice(0, Infinity, ...this.requests.filter((request) => request.status === undefined));
  }

  /** Breaks all connections, waiting requests too. */
  disconnect(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Listens on `port` of loopback (0: any free one). */
  async listen(port = 0): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(port, "127.0.0.1", resolve);
    });
  }

  async stop(): Promise<void> {
    this.disconnect();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  // ---- inside

  async #serve(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const gone = new AbortController();
    outgoing.on("close", () => gone.abort());
    outgoing.on("error", () => gone.abort());
    const url = new URL(incoming.url ?? "/", "http://fake");
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of incoming) chunks.push(chunk as Buffer);
    } catch {
      return; // the requester went away in the middle of its body
    }
    const method = incoming.method ?? "GET";
    const route = this.#routes.find((one) => one.method === method && one.pattern.test(url.pathname));
    const values = route?.pattern.exec(url.pathname)?.slice(1) ?? [];
    const request: FakeRequest = {
      method,
      path: url.pathname,
      query: url.searchParams,
      headers: incoming.headers,
      body: Buffer.concat(chunks).toString("utf8"),
      token: /^Bearer (.*)$/.exec(incoming.headers.authorization ?? "")?.[1] ?? url.searchParams.get("access_token") ?? undefined,
      params: Object.fromEntries((route?.names ?? []).map((name, index) => [name, decodeURIComponent(values[index] ?? "")])),
      signal: gone.signal,
    };
    this.requests.push(request);
    this.#notify();
    const reply = await this.#answer(request, route);
    if (gone.signal.aborted) return;
    request.status = reply.status ?? 200;
    outgoing.once("finish", () => (request.sentAt = performance.now()));
    send(outgoing, request, reply);
    this.#notify();
  }

  async #answer(request: FakeRequest, route: Route | undefined): Promise<Fault> {
    const planned = this.#faults.find((one) => one.left > 0 && matches(request, one.match));
    if (planned) {
      planned.left -= 1;
      const { delayMs, ...rest } = planned.fault;
      if (delayMs !== undefined) await sleep(delayMs, undefined, { signal: request.signal }).catch(() => {});
      if (Object.keys(rest).length > 0) return rest;
    }
    try {
      if (!route) return { status: 404, body: { errcode: "M_UNRECOGNIZED", error: "Unrecognized request" } };
      return await route.handler(request);
    } catch (error) {
      return error instanceof Refusal ? error.reply : { status: 500, body: { errcode: "M_UNKNOWN", error: String(error) } };
    }
  }

  async #sync(request: FakeRequest): Promise<FakeReply> {
    const device = this.#device(request.token);
    const since = request.query.get("since");
    if (asksForPresence(request)) return { body: v2({ presence: device.presence, next_batch: since ?? "s0" }) };
    if (since === null && asksForProfiles(request)) return { body: { next_batch: "s0", ...v2({ profiles: device.profiles }) } };
    const deadline = Date.now() + Number(request.query.get("timeout") ?? "0");
    device.polls += 1;
    device.peakPolls = Math.max(device.peakPolls, device.polls);
    try {
      for (;;) {
        this.#device(request.token); // revoked while it waited?
        const known = since === null ? -1 : device.log.findIndex((entry) => entry.nextBatch === since);
        const place = since === null ? 0 : known >= 0 ? known + 1 : (device.foreign.get(since) ?? device.served);
        const entry = device.log[place];
        if (entry) {
          if (since !== null && known < 0) device.foreign.set(since, place);
          device.served = Math.max(device.served, place + 1);
          device.saidKeys = entry.keys ?? device.saidKeys;
          return { body: entry.text };
        }
        const left = device.hold ? 3_600_000 : deadline - Date.now();
        if (left <= 0 || request.signal.aborted) return { body: { ...(device.keys ?? device.saidKeys), next_batch: since ?? "s0" } };
        await this.#news(device, left, request.signal);
      }
    } finally {
      device.polls -= 1;
    }
  }

  /** Waits until something is queued for the device, `ms` are over, or the requester has gone. */
  #news(device: Device, ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(timer);
        device.waiting.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      device.waiting.add(done);
      signal.addEventListener("abort", done);
      this.#notify();
    });
  }

  #known(token: string): Device {
    const known = this.#tokens.get(token);
    if (!known) throw new Error(`the fake homeserver never made the token ${token}`);
    return known.device;
  }

  #device(token: string | undefined): Device {
    if (token === undefined) throw new Refusal({ status: 401, body: { errcode: "M_MISSING_TOKEN", error: "Missing access token" } });
    const known = this.#tokens.get(token);
    if (known && !known.dead) return known.device;
    const softLogout = known?.dead?.softLogout === true ? { soft_logout: true } : {};
    throw new Refusal({ status: 401, body: { errcode: "M_UNKNOWN_TOKEN", error: "Unknown access token", ...softLogout } });
  }

  #notify(): void {
    for (const watcher of this.#watchers) watcher();
  }

  #until<T>(find: () => T | undefined, timeoutMs: number, what: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const finish = () => {
        clearTimeout(timer);
        this.#watchers.delete(check);
      };
      const check = () => {
        const found = find();
        if (found === undefined) return;
        finish();
        resolve(found);
      };
      const timer = setTimeout(() => {
        finish();
        reject(
          new Error(
            `waited ${timeoutMs} ms for ${what}; so far: ${this.requests.map((one) => `${one.method} ${one.path} ${one.status ?? "waiting"}`).join(", ")}`,
          ),
        );
      }, timeoutMs);
      this.#watchers.add(check);
      check();
    });
  }
}

class Refusal extends Error {
  readonly reply: FakeReply;
  constructor(reply: FakeReply) {
    super("refused");
    this.reply = reply;
  }
}

/** A running fake homeserver on a free port of loopback. */
export async function startFakeHomeserver(): Promise<FakeHomeserver> {
  const homeserver = new FakeHomeserver();
  await homeserver.listen();
  return homeserver;
}
