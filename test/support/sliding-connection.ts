/** One connection of simplified sliding sync in the deployed dialect: who asks, under which name, and the position it has reached. */

import { checkStrict } from "./answer-check.ts";
import type { Json } from "./events.ts";

const PATH = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";

/** An answer's body, as far as every answer has it. */
export type SlidingAnswer = {
  readonly pos: string;
  readonly lists?: Record<string, Json>;
  readonly rooms: Record<string, Json>;
  readonly extensions: Record<string, Json>;
};

export type SlidingReply = { readonly status: number; readonly body: Json };

/** `pos`: another one than the last answer's; null: none. */
export type AskOptions = { readonly timeout?: number; readonly pos?: string | null };

export class SlidingConnection {
  readonly #url: () => string;
  readonly #accessToken: string;
  readonly #connId: string | undefined;
  /** Of the last answer. */
  pos: string | null = null;

  /** `connId`: undefined sends none. */
  constructor(url: () => string, accessToken: string, connId?: string) {
    this.#url = url;
    this.#accessToken = accessToken;
    this.#connId = connId;
  }

  /** A request that must succeed; the connection goes on from its answer. */
  async ask(body: Json, options: AskOptions = {}): Promise<SlidingAnswer> {
    const reply = await this.request(body, options);
    if (reply.status !== 200) throw new Error(`sliding sync answered ${reply.status}: ${JSON.stringify(reply.body)}`);
    const answer = reply.body as SlidingAnswer;
    this.pos = answer.pos;
    return answer;
  }

  /**
   * Ids of the room's events that /messages gives from a token back to the start, newest first; without a token of all. A text: how it was
   * refused.
   */
  async eventsBefore(roomId: string, token: string | null): Promise<readonly string[] | string> {
    const ids: string[] = [];
    for (let [from, first] = [token, true]; first || from !== null; first = false) {
      const query = new URLSearchParams({ dir: "b", limit: "1000", ...(from !== null && { from }) });
      const path = `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}/messages?${query.toString()}`;
      // oxlint-disable-next-line no-await-in-loop -- each page begins where the one before ended
      const response = await fetch(this.#url() + path, { headers: { authorization: `Bearer ${this.#accessToken}` } });
      // oxlint-disable-next-line no-await-in-loop -- as above
      const body = (await response.json()) as { chunk: { event_id: string; type: string }[]; end?: string; errcode?: string };
      if (!response.ok) return body.errcode ?? String(response.status);
      ids.push(...body.chunk.map(({ event_id }) => event_id));
      from = body.chunk.at(-1)?.type === "m.room.create" ? null : (body.end ?? null);
    }
    return ids;
  }

  /** A request, whatever comes. */
  async request(body: Json, { timeout, pos = this.pos }: AskOptions = {}): Promise<SlidingReply> {
    const query = new URLSearchParams();
    if (pos !== null) query.set("pos", pos);
    if (timeout !== undefined) query.set("timeout", String(timeout));
    const response = await fetch(`${this.#url()}${PATH}?${query.toString()}`, {
      method: "POST",
      headers: { authorization: `Bearer ${this.#accessToken}`, "content-type": "application/json" },
      body: JSON.stringify({ ...(this.#connId === undefined ? {} : { conn_id: this.#connId }), ...body }),
    });
    const text = await response.text();
    if (response.status === 200) checkStrict(PATH, text);
    return { status: response.status, body: JSON.parse(text) as Json };
  }
}
