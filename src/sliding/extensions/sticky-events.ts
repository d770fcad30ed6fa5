/**
 * The sticky_events extension (MSC4480): sticky events of all joined rooms that a list matches, in its window or not, or that are subscribed to.
 * They are acknowledged by `since`, an ordinal of the account, whichever connection it comes on. An event that the answer's timeline has is not
 * repeated.
 *
 * Events of rooms that nobody asks about are passed over, and sent once their room is asked about. A room that the connection is sent in full only
 * later is sent all of its sticky events then, since clients drop those of rooms that they do not know.
 */

import type { EventRow } from "../../store/event-row.ts";
import { readStickyEvents, type StickyRow } from "../../store/sticky-events.ts";
import { isSticky } from "../../wire/event.ts";
import type { RoomId } from "../../wire/ids.ts";
import { declaresSticky } from "../../wire/sticky-event.ts";
import type { AccountView } from "../account-view.ts";
import type { ConnectionState, StateDraft } from "../connection-state.ts";
import type { SlidingContext } from "../context.ts";
import type { SlidingExtensions } from "../request.ts";
import type { RoomResult } from "../room-content.ts";

/** Events by room, oldest first; `next`: the ordinal that acknowledges them. */
export type StickyResult = { readonly rooms: ReadonlyMap<RoomId, readonly EventRow[]>; readonly next: number };

export type StickyPlan = {
  /** In order. Some of them may not be sent: see stickyOf. */
  readonly rows: readonly StickyRow[];
  readonly next: number;
  readonly since: number;
  /** See ConnectionState. */
  readonly passedOver: ConnectionState["passedOver"];
};

export type StickyQuestion = {
  /** undefined: the extension is not enabled. */
  readonly asked: SlidingExtensions["stickyEvents"];
  readonly view: AccountView;
  /** Those of stickyRooms that are asked about. */
  readonly matched: ReadonlySet<RoomId>;
  /** Rooms that the connection is sent in full now, after its first answer. */
  readonly entering: ReadonlySet<RoomId>;
  readonly state: ConnectionState;
  readonly now: number;
};

/** The rooms that have sticky events. */
export function stickyRooms({ sticky, byId }: AccountView): Set<RoomId> {
  return new Set(sticky.map((row) => row.room_id).filter((roomId) => byId.get(roomId)?.membership === "join"));
}

export function planSticky({ asked, view, matched, entering, state, now }: StickyQuestion): StickyPlan | null {
  if (!asked) return null;
  // More than the account ever got was acknowledged before our database was restored.
  const since = asked.since > view.position ? 0 : asked.since;
  const live = view.sticky.filter((row) => isSticky(row, now) && view.byId.get(row.room_id)?.membership === "join");
  const isUnsent = ({ room_id: room, ord }: StickyRow) => ord > (entering.has(room) ? 0 : Math.min(since, state.passedOver.get(room) ?? since));
  const unsent = live.filter(isUnsent);
  const due = unsent.filter((row) => matched.has(row.room_id));
  const rows = due.slice(0, asked.limit);
  const newest = due.length > rows.length ? rows.at(-1) : live.at(-1);
  const next = Math.max(since, newest?.ord ?? 0);
  const sent = new Set(rows);
  const passed = unsent.filter((row) => row.ord <= next && !sent.has(row));
  // Of each room the first one counts.
  return { rows, next, since, passedOver: new Map(passed.toReversed().map((row) => [row.room_id, row.ord - 1])) };
}

/** null: memory is not enough. */
export async function readSticky({ tx, account, ignored }: SlidingContext, plan: StickyPlan | null): Promise<readonly EventRow[] | null> {
  if (!plan || plan.rows.length === 0) return [];
  if (!tx) return null;
  const ords = plan.rows.map((row) => row.ord);
  const events = await readStickyEvents(tx, account, ords);
  return events.filter(({ sender, body }) => !ignored.includes(sender) && declaresSticky(body));
}

/** @param results the rooms of the answer */
export function stickyOf(plan: StickyPlan | null, events: readonly EventRow[], results: readonly RoomResult[]): StickyResult | null {
  if (!plan || (plan.next === plan.since && plan.rows.length === 0)) return null;
  const timelines = new Map(results.map(({ roomId, content }) => [roomId, content.timeline?.events ?? []]));
  const isInTimeline = ({ room_id, event_id }: EventRow) => timelines.get(room_id)?.some((row) => row.event_id === event_id) === true;
  const sent = events.filter((row) => !isInTimeline(row));
  return { rooms: Map.groupBy(sent, (row) => row.room_id), next: plan.next };
}

export function notePassedOver(plan: StickyPlan | null, draft: StateDraft): void {
  if (plan) draft.setPassedOver(plan.passedOver);
}
