/**
 * Our own pagination tokens in requests for a room's history (T20): `from` and `to` of /messages, /relations and /threads. A token names an
 * event; what the homeserver is asked with is found when the token is used:
 *
 *   Synapse        /context of the event tells its stream number, and so the token right before it.
 *   elsewhere, or where a timeline may not be in the order of the stream: the nearest later token. The events that were sent already are
 *                  cut from the page (history-cut.ts).
 *   paging the other way: the nearest earlier token, so that nothing is left out.
 */

import { createHash } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import { LRUCache } from "lru-cache";
import { atMost } from "../base/at-most.ts";
import { invalidParam, limitExceeded } from "../wire/errors.ts";
import { type HistoryToken, isHistoryToken, readHistoryToken } from "../wire/history-token.ts";
import type { AccountNo, RoomId } from "../wire/ids.ts";
import { cutPages } from "./history-cut.ts";
import { editableRequest, type ReadLimits, readText } from "./json-answer.ts";
import type { Forwarder } from "./pass-through.ts";
import { credentialsIn, type PagingRequest, queryValue, withQuery } from "./paging-request.ts";
import type { DeviceRef, HistoryPlace, HistoryStore } from "./ports.ts";

export type HistoryDeps = { readonly store: HistoryStore; readonly forwarder: Forwarder };

type HistoryRequest = PagingRequest & { readonly room: RoomId };

/** `whose`: the device that asks; null: it is not known here. */
export type HistoryPassing = {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  readonly signal: AbortSignal;
  readonly paging: HistoryRequest;
  readonly whose: () => Promise<DeviceRef | null>;
};

/** What a token resolves to. `cut`: the token's event and newer ones must be cut from the page. */
type Resolved = { readonly upstream: string | null; readonly cut: boolean };
type LocatedEvent = { readonly account: AccountNo | null; readonly stored: HistoryPlace | null };

/** How often it is noted that an account reads history here, ms, and for how many access tokens that is remembered. */
const NOTE_MS = 24 * 3600 * 1000;
const MAX_NOTED = 100_000;
/** The longest that a request waits for the note to be stored, ms. */
const NOTE_PATIENCE_MS = 2000;
/** Enough for a page of large events. A larger page is passed uncut: it repeats events, but omits none. */
const PAGE_LIMITS: ReadLimits = { bytes: 32 * 1024 * 1024, unpacked: 64 * 1024 * 1024 };
/** The beginning of all of Synapse's tokens; other homeservers' may look the same. */
const SYNAPSE_TOKEN = /^[stm]-?\d/;
/** Synapse's token of a position in the room's graph: depth, stream number, and parts that are not about rooms. */
const SYNAPSE_PLACE = /^t-?\d+-(-?\d+)((?:_.*)?)$/;

/** Whether a request is for a room's history. */
export function isHistory(paging: PagingRequest): paging is HistoryRequest {
  return paging.room !== null;
}

export class HistoryPages {
  readonly #deps: HistoryDeps;
  readonly #noted = new LRUCache<string, true>({ max: MAX_NOTED, ttl: NOTE_MS });

  constructor(deps: HistoryDeps) {
    this.#deps = deps;
  }

  /** Notes that the account reads history through this server. Never rejects, since the page does not depend on it. */
  async note(request: FastifyRequest, whose: HistoryPassing["whose"]): Promise<void> {
    const given = request.headers.authorization ?? queryValue(request.raw.url ?? "", "access_token");
    if (given === null) return;
    const key = createHash("sha256").update(given).digest("base64");
    if (this.#noted.has(key)) return;
    const work = async (): Promise<void> => {
      const ref = await whose();
      if (!ref) return;
      await this.#deps.store.noted(ref.account);
      this.#noted.set(key, true);
    };
    try {
      await atMost(work(), NOTE_PATIENCE_MS);
    } catch (error) {
      request.log.warn({ reason: error instanceof Error ? error.message : String(error) }, "Could not record that the account reads history here");
    }
  }

  /**
   * Asks the homeserver with its own tokens in place of ours, and passes the page on. Throws MatrixError 400 for a token that is not of this room.
   */
  async pass(passing: HistoryPassing, target: string): Promise<void> {
    const { request, reply, signal } = passing;
    const { forwarder } = this.#deps;
    const [from, to] = [tokenIn(passing.paging, target, "from"), tokenIn(passing.paging, target, "to")];
    const backward = (queryValue(target, "dir") ?? (passing.paging.kind === "messages" ? "f" : "b")) === "b";
    let asked = target;
    if (to) {
      const { stored } = await this.#place(passing, to);
      const { upstream } = await this.#resolve(passing, to, stored, !backward);
      asked = withQuery(asked, "to", upstream);
    }
    if (!from) return forwarder.forward(request, reply, { signal, target: asked });
    const { account, stored } = await this.#place(passing, from);
    const { upstream, cut } = await this.#resolve(passing, from, stored, backward);
    asked = withQuery(asked, "from", upstream);
    if (!cut || account === null) return forwarder.forward(request, reply, { signal, target: asked });
    const edit = cutPages({
      token: from,
      key: passing.paging.kind === "messages" ? "end" : "next_batch",
      sent: (ids) => this.#deps.store.atOrAfter(account, from.room, stored, ids),
      next: (token) => this.#text(request, signal, withQuery(asked, "from", token)),
    });
    return forwarder.forward(request, reply, { signal, target: asked, edit, editLimits: PAGE_LIMITS });
  }

  async #place({ whose }: HistoryPassing, { room, event }: HistoryToken): Promise<LocatedEvent> {
    const ref = await whose();
    return ref ? { account: ref.account, stored: await this.#deps.store.place(ref.account, room, event) } : { account: null, stored: null };
  }

  /** @param later whether a token after the position is acceptable and one before it would omit events; false: the other way round */
  async #resolve(passing: HistoryPassing, token: HistoryToken, stored: HistoryPlace | null, later: boolean): Promise<Resolved> {
    const isSynapse = token.later === "" || SYNAPSE_TOKEN.test(token.later);
    // In a timeline that may be ordered differently, what is before the event in the stream need not be what was sent before it.
    const exact = isSynapse && (!later || !stored || stored.streamed) ? await this.#exact(passing, token) : null;
    if (exact !== null) return { upstream: exact, cut: false };
    if (!later) return { upstream: stored?.earlier ?? null, cut: false };
    return { upstream: token.later === "" ? null : token.later, cut: true };
  }

  /** Synapse's token right before the event; null: another homeserver, or the user may not see the event. */
  async #exact({ request, signal }: HistoryPassing, { room, event }: HistoryToken): Promise<string | null> {
    const filter = JSON.stringify({ lazy_load_members: true, types: [] });
    const query = new URLSearchParams({ limit: "0", filter, ...credentialsIn(request.raw.url ?? "") });
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/context/${encodeURIComponent(event)}?${query.toString()}`;
    const text = await this.#text(request, signal, path);
    const start = text === null ? undefined : (JSON.parse(text) as { start?: unknown }).start;
    const [, stream, rest] = (typeof start === "string" && SYNAPSE_PLACE.exec(start)) || [];
    return stream === undefined ? null : `s${Number(stream) - 1}${rest}`;
  }

  /** The JSON text of an answer; null: its status is not 200. Throws MatrixError 429 if the homeserver asks to wait. */
  async #text(request: FastifyRequest, signal: AbortSignal, target: string): Promise<string | null> {
    const answer = await this.#deps.forwarder.open(request.raw, { signal, target, ...editableRequest(request.raw) });
    if (answer.statusCode === 200) return readText(answer, PAGE_LIMITS);
    answer.body.on("error", () => {}).destroy();
    if (answer.statusCode === 429) throw limitExceeded(Number(answer.headers["retry-after"] ?? 1) * 1000, "The homeserver asks to wait");
    return null;
  }
}

/** Our token in a query parameter. Throws MatrixError 400 if it looks like one but is not of this room. */
function tokenIn({ room }: HistoryRequest, target: string, name: "from" | "to"): HistoryToken | null {
  const text = queryValue(target, name);
  if (text === null || !isHistoryToken(text)) return null;
  const token = readHistoryToken(text);
  if (token?.room !== room) throw invalidParam(`${name}: this pagination token is not one of this room`);
  return token;
}
