/** Which events of a timeline are new to the account, and whether events are missing before them. */

import type { CutEvent } from "../../wire/event.ts";
import type { EventId } from "../../wire/ids.ts";

export type SplitTimeline = {
  /** Events up to and including the last known one: none of them is appended. Unknown ones among them are old (B35). */
  readonly before: readonly CutEvent[];
  /** Events to be appended. */
  readonly fresh: readonly CutEvent[];
  /** Events are missing between the newest stored event and the first fresh one. */
  readonly gap: boolean;
};

/**
 * Splits a timeline at its last known event. `seen`: ordinals of the known ones (0: fetched history). `lastOrd`: the newest stored event's,
 * 0 if none is stored. `isFull`: the room comes from scratch, not from where we were; `firstJoin`: the user was never in it before.
 */
export function splitTimeline(
  timeline: readonly CutEvent[],
  seen: ReadonlyMap<EventId, number>,
  lastOrd: number,
  room: { readonly limited: boolean; readonly isFull: boolean; readonly firstJoin: boolean; readonly pendingGap: boolean },
): SplitTimeline {
  const lastKnown = timeline.findLastIndex((event) => seen.has(event.event_id));
  const known = timeline[lastKnown];
  const before = timeline.slice(0, lastKnown + 1);
  const fresh = timeline.slice(lastKnown + 1);
  // A timeline from scratch that is not limited begins with the room.
  const missing = room.isFull ? lastOrd > 0 : room.pendingGap;
  // Only a declined invite may be stored: the history around it is as new as the rest (T8).
  if (room.firstJoin && before.some((event) => !seen.has(event.event_id))) return { before: [], fresh: timeline, gap: room.limited || missing };
  // What follows the newest stored event directly has no gap before it, whatever `limited` says.
  if (known !== undefined && seen.get(known.event_id) === lastOrd) return { before, fresh, gap: false };
  return { before, fresh, gap: room.limited || missing };
}
