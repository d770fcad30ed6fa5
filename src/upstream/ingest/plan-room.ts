/** One room of the join or leave section. */

import type { KnownRoom } from "../../store/ingest/known.ts";
import type { MembersKnown } from "../../store/ingest/row-types.ts";
import type { Membership } from "../../store/room-facts.ts";
import type { CutEvent } from "../../wire/event.ts";
import type { EventId, UserId } from "../../wire/ids.ts";
import type { V2JoinedRoom } from "../../wire/v2-response.ts";
import type { Draft } from "./draft.ts";
import type { PlanContext } from "./plan-context.ts";
import { planFeed } from "./plan-feed.ts";
import { planRoomFacts } from "./plan-room-facts.ts";
import { planRoomParts } from "./plan-room-parts.ts";
import { planBans, planRedactions } from "./redactions.ts";
import { RoomState, stateKey } from "./room-state.ts";
import { planSticky } from "./plan-sticky.ts";
import { splitTimeline } from "./room-timeline.ts";
import type { RoomWork } from "./room-work.ts";
import { overruled, replacedBy, tookEffect } from "./state-after.ts";

/** State first, then the timeline, then what follows from them. */
export function planRoom(draft: Draft, context: PlanContext, stored: KnownRoom, section: V2JoinedRoom, to: "join" | "leave"): void {
  const { known } = context;
  const firstJoin = to === "join" && stored.membership !== "join" && stored.standing?.ever_joined !== true;
  const isFull = to === "join" && (context.reset || context.reread.has(stored.room_id) || stored.membership !== "join");
  const split = splitTimeline(section.timeline, known.seen.get(stored.room_id) ?? new Map<EventId, number>(), stored.last_ord, {
    limited: section.limited,
    isFull,
    firstJoin,
    pendingGap: stored.pending_gap,
  });
  const state = new RoomState(
    draft,
    stored.room_id,
    context.extra.fullState.get(stored.room_id) ?? known.state.get(stored.room_id) ?? [],
    known.members.get(stored.room_id) ?? [],
  );
  const took = tookEffect(section, { me: context.me, isFull, to });
  const work: RoomWork = { draft, context, stored, section, to, isFull, split, state, took };
  planStateBlock(work);
  const newest = planTimeline(work);
  planFeed(work);
  planSticky(work);
  planRedactions(work);
  planBans(work);
  planRoomParts(work);
  const counted = planRoomFacts(work, ownMembership(work));
  planRoomRow(work, newest, counted);
}

/** The state before the timeline, as changes to what is stored. */
function planStateBlock(work: RoomWork): void {
  const { draft, stored, section, state, isFull } = work;
  const effective = stateBefore(work);
  const rolledBack = rolledBackTo(work);
  if (isFull && stored.membership !== null) state.endAllBut(effective, rolledBack, draft.next("state", stored.room_id));
  else if (section.limited) state.endOthers(rolledBack, () => draft.next("state", stored.room_id));
  // With lazy loading, a member that is sent for the first time was in the room before; another event of a known member is a change.
  const isLearned = (event: CutEvent) => isFull || (stored.members === "none" && state.membershipOf(event.state_key as UserId) === null);
  for (const event of effective.values()) {
    if (!state.isNew(event)) state.remember(event);
    else state.apply(event, draft.next(event.type === "m.room.member" ? "members" : "state", stored.room_id), isLearned(event));
  }
  // A place, after all that clients have been sent, for what is fetched later of it: see noteReplaced.
  if (rolledBack.size > 0 && (isFull || section.limited)) draft.next("state", stored.room_id);
}

/** The state where the fresh events begin, by key, as far as the response has it and it may be new. */
function stateBefore({ section, split, isFull, took }: RoomWork): Map<string, CutEvent> {
  const effective = new Map<string, CutEvent>();
  for (const event of section.state) effective.set(stateKey(event.type, event.state_key ?? ""), event);
  for (const event of split.before) {
    if (event.state_key === null) continue;
    const key = stateKey(event.type, event.state_key);
    // The state block is from the beginning of the timeline. For a full room it is moved on to where the fresh events begin; otherwise it is older
    // than what is stored for these keys.
    if (took === null) {
      if (isFull) effective.set(key, event);
      else effective.delete(key);
    } else if (isFull ? took.has(event.event_id) : section.current?.has(event.event_id)) effective.set(key, event);
  }
  return effective;
}

/** If the response has the state after the timeline: what the fresh events replaced first, by key, as far as they say so. */
function rolledBackTo({ split, took }: RoomWork): Map<string, EventId> {
  const before = new Map<string, EventId>();
  if (took === null) return before;
  for (const event of split.fresh.toReversed()) {
    const replaced = took.has(event.event_id) ? replacedBy(event) : null;
    if (replaced !== null) before.set(stateKey(event.type, event.state_key ?? ""), replaced);
  }
  return before;
}

/** Appends the fresh events; returns the newest one's ordinal and event. */
function planTimeline(work: RoomWork): { ord: number; ts: number } | null {
  const { draft, context, stored, section, split, state, took } = work;
  const notify = (section.unread.notifications ?? 0) > (stored.facts?.notification_count ?? 0);
  let newest: { ord: number; ts: number } | null = null;
  for (const [index, event] of split.fresh.entries()) {
    const ord = draft.next("timeline", stored.room_id);
    const setsState = event.state_key !== null && took?.has(event.event_id) !== false;
    const row = {
      ord,
      room_id: stored.room_id,
      event_id: event.event_id,
      unsigned: event.state_key === null || setsState ? event.unsigned : overruled(event.unsigned),
      relations: event.relations,
      age_ts: event.age_ts,
      txn_id: event.txn_id,
      sticky_until: event.sticky_until,
      gap: index === 0 && split.gap,
      // The token is right before the first event of the response, which need not be the first fresh one. For a left room whose timeline is not
      // limited, Synapse's token is after it (T20).
      prev_batch: index === 0 && split.before.length === 0 && (work.to === "join" || section.limited) ? section.prev_batch : null,
      notify: notify && event.sender !== context.me,
    };
    draft.timeline.push(row);
    state.putEvent(event);
    state.noteRow(event.event_id, row);
    if (setsState) {
      noteReplaced(work, event, ord, ord - index);
      if (state.isNew(event)) draft.kinds.add(event.type === "m.room.member" ? "members" : "state");
      state.apply(event, ord, false);
    }
    newest = { ord, ts: Math.min(event.ts, context.now) };
  }
  return newest;
}

/** What an event replaced, if it is unknown although it held right before the timeline, which begins at `first`. */
function noteReplaced({ draft, stored, section, isFull, state, took }: RoomWork, event: CutEvent, ord: number, first: number): void {
  const { type, state_key } = event;
  if (took === null || state_key === null || !(isFull || section.limited) || !state.isUnknown(event)) return;
  const replaced = replacedBy(event);
  if (replaced === null) return;
  draft.replaced.push({ room_id: stored.room_id, event_id: replaced, type, state_key, from_ord: first - 1, to_ord: ord });
}

/** A join section means joined. In a leave section the user's own member event may show a ban; otherwise it is a leave. */
function ownMembership(work: RoomWork): Membership {
  if (work.to === "join") return "join";
  return work.state.membershipOf(work.context.me) === "ban" ? "ban" : "leave";
}

/** The room's present row. `wrong`: the member list does not match the homeserver's count. */
function planRoomRow(work: RoomWork, newest: { ord: number; ts: number } | null, wrong: boolean): void {
  const { draft, context, stored, section, split, isFull } = work;
  // The member list was marked stale when the gap was found; this event changes nothing.
  const unsure = wrong || isFull || (split.gap && section.limited);
  let members: MembersKnown = stored.members;
  if (isFull) members = "none";
  else if (unsure && members === "complete") {
    members = "stale";
    // Readers of the member list fetch it again.
    draft.kinds.add("members");
  }
  draft.putRoom(stored, {
    room_id: stored.room_id,
    last_ord: newest?.ord ?? stored.last_ord,
    last_ts: newest?.ts ?? stored.last_ts,
    members,
    unsure_ord: unsure ? draft.last : stored.unsure_ord,
    // A room that was read again shows whether something is missing.
    pending_gap: split.fresh.length === 0 && (split.gap || (stored.pending_gap && !context.reread.has(stored.room_id))),
  });
}
