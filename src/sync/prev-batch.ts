/** `prev_batch`: the pagination token that stands right before the first event of a timeline (T20). */

import { historyToken } from "../wire/history-token.ts";
import type { EventId, RoomId } from "../wire/ids.ts";

/** Of an evaluation's context. */
export type PagingContext = {
  /** Requests for history pass through this server, so that it may give tokens of its own. */
  readonly ownTokens: boolean;
  /** The newest upstream token: it stands after every event. */
  readonly upstreamSince: string;
};

/** What is known of the place before the first of `events`. */
export type TimelineStart = {
  readonly events: readonly { readonly event_id: EventId; readonly type?: string }[];
  /** The nearest upstream token at or after that place; null: the newest one is. */
  readonly prevBatch: string | null;
  /** `prevBatch` stands at that very place. */
  readonly exact: boolean;
};

/**
 * An upstream token where one stands at that very place; else one of ours, or where that cannot be used the next upstream token after it.
 * Where a timeline begins with the room itself, Synapse's token stands after the timeline: a page back from there would repeat it.
 */
export function prevBatchOf({ ownTokens, upstreamSince }: PagingContext, room: RoomId, { events: [first], prevBatch, exact }: TimelineStart): string {
  const later = prevBatch ?? upstreamSince;
  const isExact = exact && first?.type !== "m.room.create";
  return isExact || !first || !ownTokens ? later : historyToken({ room, event: first.event_id, later });
}
