/** A room's stored timeline, continued backwards by history that was fetched from the homeserver. */

import type { Db } from "../store/db.ts";
import type { EventRow } from "../store/event-row.ts";
import { type OlderOptions, readOlder } from "../store/older.ts";
import type { StateRow } from "../store/state.ts";
import type { Timeline } from "../store/timeline.ts";
import type { AccountNo, RoomId } from "../wire/ids.ts";
import type { Need } from "./fetch-need.ts";
import type { TimelineStart } from "./prev-batch.ts";

export type History = {
  /** Oldest first. */
  readonly events: readonly (EventRow & { readonly ord?: number })[];
  readonly limited: boolean;
  /** The state before `events` if they begin with fetched ones; null: it is that of the timeline. */
  readonly stateBefore: readonly StateRow[] | null;
} & TimelineStart;

/** Whether fewer than `limit` events are stored although the room has older ones. */
export function fallsShort(timeline: Timeline, limit: number): boolean {
  return timeline.limited && timeline.reachesStart && timeline.events.length < limit;
}

/**
 * A timeline that falls short, with fetched history in front of it, up to `options.limit` events. `need`: what must be fetched to reach the limit;
 * null: it is reached, or the room has no more events.
 */
export async function historyOf(
  db: Db,
  account: AccountNo,
  roomId: RoomId,
  timeline: Timeline,
  options: OlderOptions,
): Promise<{ readonly history: History; readonly need: Need | null }> {
  const missing = options.limit - timeline.events.length;
  const older = await readOlder(db, account, roomId, { ...options, limit: missing });
  const count = missing - older.events.length;
  const hasMore = older.complete && older.end !== null;
  const need: Need | null = count > 0 && hasMore ? { kind: "older", roomId, count } : null;
  const limited = !older.complete || older.end !== null;
  if (older.events.length === 0) return { history: { ...timeline, limited, stateBefore: null }, need };
  const events = [...older.events, ...timeline.events];
  const prevBatch = older.prevBatch ?? timeline.prevBatch;
  return { history: { events, limited, prevBatch, exact: older.exact, stateBefore: older.stateBefore }, need };
}
