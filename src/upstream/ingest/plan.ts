/** Plans what a batch writes, from what is known and what arrived. Pure. */

import type { WakeKind } from "../../feed/hub.ts";
import type { KnownRoom } from "../../store/ingest/known.ts";
import type { ReplacedState } from "../../store/ingest/replaced.ts";
import type { RoomWrites } from "../../store/ingest/row-types.ts";
import { isObject } from "../../wire/identifier.ts";
import type { RoomId, UserId } from "../../wire/ids.ts";
import { indexKey } from "../../wire/index-key.ts";
import type { V2Response } from "../../wire/v2-response.ts";
import { planAside } from "./aside.ts";
import { Draft } from "./draft.ts";
import type { FactsChange } from "./facts.ts";
import { computeFacts, noChange } from "./facts.ts";
import type { PlanContext } from "./plan-context.ts";
import { planOwnBodies } from "./own-bodies.ts";
import { roomsIn } from "./parts.ts";
import { planInvite } from "./plan-invite.ts";
import { planProfile } from "./plan-profiles.ts";
import { planRoom } from "./plan-room.ts";
import { endInvite, planAccountData, planTyping } from "./plan-room-parts.ts";
import { planStandings } from "./plan-standings.ts";
import { endSticky } from "./plan-sticky.ts";

export type IngestPlan = {
  readonly writes: RoomWrites;
  readonly kinds: ReadonlySet<WakeKind>;
  readonly rooms: ReadonlySet<RoomId>;
  /** Number of points in timelines where events are missing. */
  readonly gaps: number;
  /** What events of timelines replaced, as far as it is not known although it could be told (T21). */
  readonly replaced: readonly ReplacedState[];
};

const IGNORED = "m.ignored_user_list";

/** `position`: the account's, before the batch. */
export function planBatch(context: PlanContext, response: V2Response, position: number): IngestPlan {
  const draft = new Draft(position);
  const { known } = context;
  for (const [room, section] of response.join) planRoom(draft, context, known.room(room), section, "join");
  for (const [room, section] of response.leave) planRoom(draft, context, known.room(room), section, "leave");
  for (const [room, section] of response.invite) planInvite(draft, context, known.room(room), section, "invite");
  for (const [room, section] of response.knock) planInvite(draft, context, known.room(room), section, "knock");
  for (const [room, items] of context.aside) planAside(draft, context, known.room(room), items);
  planOtherRooms(draft, context, response);
  planAccountData(draft, context, "", response.accountData);
  planIgnored(draft, context, response);
  for (const { user_id, body } of response.presence) {
    if (known.presence.get(user_id) !== body) draft.presence.push({ user_id, body, ord: draft.next("presence"), at: context.now });
  }
  for (const [user, updates] of response.profiles) planProfile(draft, user, updates, known.profiles.get(user) ?? []);
  planOwnBodies(draft, context.ownBodies);
  planStandings(draft, context, response);
  draft.endSessions = context.restored;
  if (draft.endSessions) draft.kinds.add("gone");
  const gaps = draft.timeline.filter((row) => row.gap).length;
  return { writes: draft.writes(), kinds: draft.kinds, rooms: draft.newsOf, gaps, replaced: draft.replaced };
}

/** Rooms without a section in the response: m.direct may name any room, and after a reset a room that is missing has been left. */
function planOtherRooms(draft: Draft, context: PlanContext, response: V2Response): void {
  if (!context.reset && !context.direct?.isInResponse) return;
  const present = new Set([...context.present, ...roomsIn(response)]);
  for (const room of context.known.rooms.values()) {
    if (present.has(room.room_id) || room.facts === null || room.membership === null) continue;
    if (context.reset && room.membership !== "leave" && room.membership !== "ban") planLost(draft, context, room);
    else if (context.direct?.isInResponse) planDirect(draft, context, room);
  }
}

function planLost(draft: Draft, context: PlanContext, room: KnownRoom): void {
  if (room.facts === null) return;
  planTyping(draft, room, []);
  endSticky(draft, room);
  endInvite(draft, room);
  const change: FactsChange = { ...noChange(context.me, room.facts), notifications: 0, highlights: 0 };
  draft.putFacts(room, "leave", computeFacts(room.facts, change));
}

/** An invite that was marked as direct stays so until it is answered: m.direct is written by the client that answers. */
function planDirect(draft: Draft, context: PlanContext, room: KnownRoom): void {
  if (room.facts === null || room.membership === null) return;
  const listed = context.direct?.rooms.has(room.room_id) ?? false;
  const isDm = listed || (room.membership === "invite" && room.facts.is_dm);
  if (isDm === room.facts.is_dm) return;
  draft.putFacts(room, room.membership, computeFacts(room.facts, { ...noChange(context.me, room.facts), isDm }));
}

function planIgnored(draft: Draft, context: PlanContext, response: V2Response): void {
  const item = response.accountData.find(({ type }) => type === IGNORED);
  if (!item) return;
  const users = item.content["ignored_users"];
  const now = isObject(users) ? (Object.keys(users).map(indexKey) as UserId[]) : [];
  const before = new Set(context.ignored);
  if (before.size === now.length && now.every((user) => before.has(user))) return;
  draft.ignored = now;
  if (now.some((user) => !before.has(user))) draft.kinds.add("invites");
  // What was withheld of them is fetched first, then sessions end (D25, T2).
  draft.unignored = context.ignored.filter((user) => !now.includes(user)).map((user) => ({ user_id: indexKey(user) as UserId }));
}
