/** A device that is signed in, and what it can be told to do beside syncing. Its token is in memory alone. */

import { type MatrixEvent, request, type Server } from "../../packages/client/src/index.ts";
import { recorded } from "./exchanges.ts";

const CLIENT = "/_matrix/client/v3";
const TYPING_MS = 20_000;
let transactions = 0;

export class Account {
  readonly userId: string;
  readonly deviceId: string;
  readonly server: Server;
  /** We made the device: signing out ends it. */
  readonly isOurs: boolean;

  private constructor(userId: string, deviceId: string, token: string, isOurs: boolean) {
    [this.userId, this.deviceId, this.isOurs] = [userId, deviceId, isOurs];
    this.server = { baseUrl: location.origin, accessToken: token, fetch: recorded() };
  }

  /** Makes a device. @throws MatrixError */
  static async logIn(user: string, password: string): Promise<Account> {
    const nobody = { baseUrl: location.origin, accessToken: "", fetch: recorded() };
    const body = {
      type: "m.login.password",
      identifier: { type: "m.id.user", user },
      password,
      initial_device_display_name: "syncv3 page",
    };
    const answer = await request<{ user_id: string; device_id: string; access_token: string }>(nobody, "POST", `${CLIENT}/login`, { body });
    return new Account(answer.user_id, answer.device_id, answer.access_token, true);
  }

  /** The device of a token that somebody has. @throws MatrixError */
  static async ofToken(accessToken: string): Promise<Account> {
    const server = { baseUrl: location.origin, accessToken, fetch: recorded() };
    const { user_id, device_id = "" } = await request<{ user_id: string; device_id?: string }>(server, "GET", `${CLIENT}/account/whoami`);
    return new Account(user_id, device_id, accessToken, false);
  }

  async signOut(): Promise<void> {
    if (this.isOurs) await this.#ask("POST", "/logout", {});
  }

  async send(roomId: string, text: string): Promise<void> {
    const transaction = `page-${Date.now()}-${(transactions += 1)}`;
    await this.#ask("PUT", `${room(roomId)}/send/m.room.message/${transaction}`, { msgtype: "m.text", body: text });
  }

  async setTyping(roomId: string, typing: boolean): Promise<void> {
    const body = typing ? { typing, timeout: TYPING_MS } : { typing };
    await this.#ask("PUT", `${room(roomId)}/typing/${encodeURIComponent(this.userId)}`, body);
  }

  async read(roomId: string, eventId: string): Promise<void> {
    await this.#ask("POST", `${room(roomId)}/receipt/m.read/${encodeURIComponent(eventId)}`, {});
  }

  async join(roomId: string): Promise<void> {
    await this.#ask("POST", `${room(roomId)}/join`, {});
  }

  async leave(roomId: string): Promise<void> {
    await this.#ask("POST", `${room(roomId)}/leave`, {});
  }

  /** Events before a place, the newest first, and the place before them. */
  async earlier(roomId: string, from: string): Promise<{ readonly events: readonly MatrixEvent[]; readonly end: string | null }> {
    const query = { dir: "b", limit: 50, from };
    const answer = await request<{ chunk: MatrixEvent[]; end?: string }>(this.server, "GET", `${CLIENT}${room(roomId)}/messages`, { query });
    return { events: answer.chunk, end: answer.end ?? null };
  }

  /** All who are in a room. */
  async members(roomId: string): Promise<readonly MatrixEvent[]> {
    const query = { membership: "join" };
    return (await request<{ chunk: MatrixEvent[] }>(this.server, "GET", `${CLIENT}${room(roomId)}/members`, { query })).chunk;
  }

  #ask(method: string, path: string, body: object): Promise<unknown> {
    return request(this.server, method, `${CLIENT}${path}`, { body });
  }
}

function room(roomId: string): string {
  return `/rooms/${encodeURIComponent(roomId)}`;
}
