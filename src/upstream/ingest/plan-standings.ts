/**
 * The order of the batch's rooms among all rooms afterwards: what sliding sync sorts and picks rooms by (MSC4186).
 *
 * Rooms that came together have no order in a v2 response, so they are ordered by their events' times, at most now: after a first sync a
 * list has the same order as the homeserver's would. A batch has at least as many ordinals as rooms, so each room gets an ordinal of its own
 * in it, above all earlier ones.
 */

import type { EventWrite, FactsWrite, InviteWrite, StandingWrite } from "../../store/ingest/row-types.ts";
import type { KnownRoom } from "../../store/ingest/known.ts";
import type { Membership } from "../../store/room-facts.ts";
import { isObject } from "../../wire/identifier.ts";
import type { RoomId, UserId } from "../../wire/ids.ts";
import type { V2JoinedRoom, V2Response } from "../../wire/v2-response.ts";
import type { Draft } from "./draft.ts";
import type { PlanContext } from "./plan-context.ts";

/** Types whose events are activity (MSC4186, `bump_stamp`). */
export const BUMPING: ReadonlySet<string> = new Set([
  "m.room.create",
  "m.room.message",
  "m.room.encrypted",
  "m.sticker",
  "m.call.invite",
  "m.poll.start",
  "m.beacon_info",
]);

/** A room of the batch; times in ms, null: no such event. */
type StandingChange = {
  readonly stored: KnownRoom;
  readonly membership: Membership;
  readonly activeAt: number | null;
  readonly bumpedAt: number | null;
};

type Happened = Pick<EventWrite, "type" | "state_key" | "sender" | "ts">;

/** Call it when everything else of the batch is planned. */
export function planStandings(draft: Draft, context: PlanContext, response: V2Response): void {
  const rows = new Rows(draft);
  // Rooms that were stored early are ordered among all that come now.
  const touched = context.early ? new Set([...rows.changed, ...response.join.keys()]) : rows.changed;
  const ended = roomsWithEnds(draft);
  const changes = [...touched].map((room) => changeOf(draft, context, response, rows, context.known.room(room)));
  const active = ordinalsBy(draft, changes, (change) => change.activeAt);
  const bumped = ordinalsBy(draft, changes, (change) => change.bumpedAt);
  for (const change of changes) {
    const { room_id, standing } = change.stored;
    const moved = change.stored.membership !== change.membership;
    const own = ownMember(draft, context, room_id);
    const joined = change.membership === "join" || (standing?.ever_joined ?? (change.stored.membership === "join" || own?.before === true));
    draft.standings.push({
      room_id,
      changed_ord: draft.last,
      membership_ord: moved ? draft.last : (standing?.membership_ord ?? draft.last),
      active_ord: active.get(room_id) ?? standing?.active_ord ?? draft.start,
      bump_ord: bumped.get(room_id) ?? standing?.bump_ord ?? draft.start,
      kicked: change.membership === "leave" && (moved ? own !== null && own.sender !== context.me : (standing?.kicked ?? false)),
      ever_joined: joined,
      inviter: rows.invites.get(room_id)?.inviter ?? standing?.inviter ?? null,
      ended_ord: ended.has(room_id) ? draft.last : (standing?.ended_ord ?? 0),
    } satisfies StandingWrite);
  }
}

/** Rooms in which state or a member ended that nothing replaced. */
export function roomsWithEnds({ state, stateEnds, members, memberEnds, membersEnds }: Pick<Draft, EndParts>): ReadonlySet<RoomId> {
  const keyOf = (room_id: RoomId, type: string, key: string) => JSON.stringify([room_id, type, key]);
  const open = new Set([
    ...state.filter((row) => row.to_ord === null).map((row) => keyOf(row.room_id, row.type, row.state_key)),
    ...members.filter((row) => row.to_ord === null).map((row) => keyOf(row.room_id, MEMBER, row.user_id)),
  ]);
  const ends = [
    ...stateEnds.filter((end) => !open.has(keyOf(end.room_id, end.type, end.state_key))),
    ...memberEnds.filter((end) => !open.has(keyOf(end.room_id, MEMBER, end.user_id))),
    // Which members these end is known to the database alone.
    ...membersEnds,
  ];
  return new Set(ends.map((end) => end.room_id));
}

type EndParts = "state" | "stateEnds" | "members" | "memberEnds" | "membersEnds";
const MEMBER = "m.room.member";

/** The rows of the batch by room. */
class Rows {
  readonly changed: ReadonlySet<RoomId>;
  readonly timeline: ReadonlyMap<RoomId, Draft["timeline"]>;
  readonly facts: ReadonlyMap<RoomId, FactsWrite>;
  readonly invites: ReadonlyMap<RoomId, InviteWrite>;

  constructor(draft: Draft) {
    this.timeline = Map.groupBy(draft.timeline, (row) => row.room_id);
    this.facts = new Map(draft.facts.map((row) => [row.room_id, row]));
    this.invites = new Map(draft.invites.map((row) => [row.room_id, row]));
    const lists = [
      draft.ownBodies,
      draft.timeline,
      draft.state,
      draft.stateEnds,
      draft.members,
      draft.memberEnds,
      draft.facts,
      draft.invites,
      draft.inviteEnds,
    ];
    this.changed = draft.redactedRooms.union(new Set(lists.flatMap((list) => list.map((row) => row.room_id))));
  }
}

function changeOf(draft: Draft, context: PlanContext, response: V2Response, rows: Rows, stored: KnownRoom): StandingChange {
  const room = stored.room_id;
  const section = response.join.get(room);
  const fresh = () => (rows.timeline.get(room) ?? []).flatMap((row) => draft.events.get(row.event_id) ?? []);
  // Messages of ignored users are not sent (D25), so they move nothing.
  const isSent = (event: Happened) => event.state_key !== null || !context.ignored.includes(event.sender);
  const events: readonly Happened[] = (context.early && section ? section.timeline : fresh()).filter(isSent);
  const membership = rows.facts.get(room)?.membership ?? stored.membership ?? "leave";
  const invited = rows.invites.has(room);
  const last = events.at(-1)?.ts;
  const bump = events.findLast((event) => BUMPING.has(event.type))?.ts;
  // For a room that the user is not in, the time of the membership change counts.
  const moved = stored.membership !== membership && membership !== "join";
  const first = stored.standing === null || context.early || (stored.membership !== "join" && membership === "join");
  const activeAt = last ?? (invited || moved || first ? firstSeen(section, context.now) : null);
  const bumpedAt = moved ? (last ?? context.now) : (bump ?? (first ? firstSeen(section, context.now) : null));
  const atMostNow = (ts: number | null) => (ts === null ? null : Math.min(ts, context.now));
  return { stored, membership, activeAt: atMostNow(activeAt), bumpedAt: atMostNow(bumpedAt) };
}

/** The time for a room that comes without activity: its creation, else its oldest event; ms. */
function firstSeen(section: V2JoinedRoom | undefined, now: number): number {
  const create = section?.state.find((event) => event.type === "m.room.create");
  return create?.ts ?? section?.timeline[0]?.ts ?? now;
}

function ordinalsBy(draft: Draft, changes: readonly StandingChange[], at: (change: StandingChange) => number | null): Map<RoomId, number> {
  const timed = changes.flatMap((change) => {
    const ts = at(change);
    return ts === null ? [] : [{ room: change.stored.room_id, ts }];
  });
  timed.sort((a, b) => a.ts - b.ts || (a.room < b.room ? -1 : 1));
  return new Map(timed.map(({ room }, index) => [room, draft.last - (timed.length - 1 - index)]));
}

/** The user's own member event: its sender, and whether the user had been in the room before. Null: none is known. */
function ownMember(draft: Draft, context: PlanContext, room: RoomId): { sender: UserId; before: boolean } | null {
  const row = draft.members.findLast((member) => member.room_id === room && member.user_id === context.me);
  const event = row && draft.events.get(row.event_id);
  if (row && event) return { sender: event.sender, before: ["join", "leave", "ban"].includes(membershipBefore(row.unsigned)) };
  const known = context.known.members.get(room)?.find((member) => member.user_id === context.me);
  const body: unknown = known ? JSON.parse(known.body) : null;
  return isObject(body) && typeof body["sender"] === "string" ? { sender: body["sender"] as UserId, before: false } : null;
}

function membershipBefore(unsigned: string | null): string {
  const parsed: unknown = unsigned === null ? null : JSON.parse(unsigned);
  const content = isObject(parsed) ? parsed["prev_content"] : undefined;
  return isObject(content) ? String(content["membership"]) : "";
}
