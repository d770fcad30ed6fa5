/** `prev_batch`: the pagination token for the position right before the first event of a timeline (T20). */

import { historyToken } from "../wire/history-token.ts";
import type { EventId, RoomId } from "../wire/ids.ts";

/** The part of an evaluation's context that tokens depend on. */
export type PagingContext = {
  /** Requests for history pass through this server, so it may hand out tokens of its own. */
  readonly ownTokens: boolean;
  /** The newest upstream token: it is after every event. */
  readonly upstreamSince: string;
};

/** What is known about the position before the first of `events`. */
export type TimelineStart = {
  readonly events: readonly { readonly event_id: EventId; readonly type?: string }[];
  /** The nearest upstream token at or after that position; null: the newest one. */
  readonly prevBatch: string | null;
  /** `prevBatch` is exactly that position. */
  readonly exact: boolean;
};

/**
 * The upstream token if there is one for exactly that position; otherwise one of our own; or if those cannot be used, the next later upstream
 * token. If a timeline begins with the room's creation, Synapse's token is after the timeline: a page back from there would repeat it.
 */
export function prevBatchOf({ ownTokens, upstreamSince }: PagingContext, room: RoomId, { events: [first], prevBatch, exact }: TimelineStart): string {
  const later = prevBatch ?? upstreamSince;
  const isExact = exact && first?.type !== "m.room.create";
  return isExact || !first || !ownTokens ? later : historyToken({ room, event: first.event_id, later });
}
