/** Sticky events (MSC4354) of rooms that the user is in. They have an order of their own: that in which the account got them. */

import type { KnownRoom } from "../../store/ingest/known.ts";
import type { StickyWrite } from "../../store/ingest/row-types.ts";
import type { CutEvent } from "../../wire/event.ts";
import type { RoomId } from "../../wire/ids.ts";
import { declaredEnd } from "../../wire/sticky-event.ts";
import type { Draft, Mutable } from "./draft.ts";
import type { RoomWork } from "./room-work.ts";

/** Those that the homeserver sends beside the timeline, and those of the timeline: if the user has just joined, also ones that are stored. */
export function planSticky(work: RoomWork): void {
  const { draft, context, stored, section, split, to, isFull } = work;
  if (to === "leave") return endSticky(draft, stored);
  const beside = section.sticky.map((event) => [event, event.sticky_until ?? declaredEnd(event, context.now)] as const);
  const within = (isFull ? section.timeline : split.fresh).map((event) => [event, event.sticky_until] as const);
  for (const [event, until] of [...beside, ...within]) {
    if (until === null || until <= context.now) continue;
    work.state.putEvent(event);
    work.state.noteRow(event.event_id, noteSticky(draft, stored.room_id, event, until));
  }
}

/** Its row. */
export function noteSticky(draft: Draft, room_id: RoomId, { event_id, unsigned, age_ts }: CutEvent, sticky_until: number): Mutable<StickyWrite> {
  const row = { ord: draft.next("sticky_events", room_id), room_id, event_id, unsigned, age_ts, sticky_until };
  draft.stickyEvents.set(event_id, row);
  return row;
}

/** Who is not in a room is not sent its sticky events; who joins it again is sent all of them. */
export function endSticky(draft: Draft, { room_id, membership }: KnownRoom): void {
  if (membership === "join") draft.stickyEnds.push({ room_id });
}
