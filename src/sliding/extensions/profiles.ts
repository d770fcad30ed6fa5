/**
 * The profiles extension (MSC4262): what changes in the profile of anybody who shares a room, and everything of those whom a room shows that comes into
 * scope. In a room whose members are loaded lazily these are the senders and members that the answer has or that were sent before, and the heroes; in
 * another one all of its members. Later the room brings the profiles of members that it shows for the first time.
 *
 * Which users were sent is not remembered, as MSC4262 leaves it open: somebody who comes to be shown in several rooms is sent with each.
 */

import { MEETING, type ProfileRow, readProfiles } from "../../store/profiles.ts";
import type { RoomId, UserId } from "../../wire/ids.ts";
import type { AccountView } from "../account-view.ts";
import { type ConnectionState, LIVE, type StateDraft } from "../connection-state.ts";
import type { SlidingContext } from "../context.ts";
import type { ProfilesScope } from "../request.ts";
import type { RoomResult } from "../room-content.ts";
import type { ChosenRoom } from "../select.ts";
import { noteScoped, type Scoped, scopedRooms } from "./scoped.ts";

/** Fields with their values as JSON, and those that are gone. */
type ProfileResult = { readonly updated: readonly (readonly [string, string])[]; readonly removed: readonly string[] };
/** null: the user shares no room any more. */
export type ProfilesResult = ReadonlyMap<UserId, ProfileResult | null>;

export type ProfilesPlan = {
  readonly asked: ProfilesScope;
  readonly scoped: Scoped;
  /** What changed after this ordinal is sent; null: the extension was never enabled. */
  readonly after: number | null;
  /** Rooms that are in scope for the first time, also for a field that is asked for now. */
  readonly entering: ReadonlySet<RoomId>;
  /** Those of them all of whose members are sent. */
  readonly rooms: readonly RoomId[];
  /** Users who are sent, besides those in the answer's rooms. */
  readonly users: readonly UserId[];
};

export type ProfilesQuestion = {
  readonly asked: ProfilesScope | undefined;
  readonly view: AccountView;
  /** The joined rooms that are asked about. */
  readonly chosen: readonly ChosenRoom[];
  readonly state: ConnectionState;
  readonly from: number;
  readonly me: UserId;
};

const NONE: ReadonlySet<RoomId> = new Set();
const MEMBER = "m.room.member";

/** null: the extension is not enabled, or no profile is known. */
export function planProfiles({ asked, view, chosen, state, from, me }: ProfilesQuestion): ProfilesPlan | null {
  if (!asked || view.profilesOrd === 0) return null;
  const { sent, fields } = state.profiles;
  const scoped = scopedRooms("profiles", { scope: asked, chosen, state, changed: NONE, from });
  const isNew = sent === undefined || isMore(asked.fields, fields);
  const entering = isNew ? scoped.inScope : new Set(scoped.first);
  const ofEntering = chosen.filter(({ room }) => entering.has(room.roomId));
  const shown = ofEntering.flatMap(({ room }) => [
    ...((room.facts.sources.name === undefined && room.facts.heroes) || []).map((hero) => hero.user_id),
    ...(state.rooms.get(room.roomId)?.lazy ?? []),
  ]);
  return {
    asked,
    scoped,
    after: sent === LIVE ? from : (sent ?? null),
    entering,
    rooms: ofEntering.filter(({ config }) => !config.requiredState.lazy).map(({ room }) => room.roomId),
    users: isNew ? [me, ...shown] : shown,
  };
}

function isMore(asked: readonly string[] | null, before: readonly string[] | null): boolean {
  return before !== null && (asked === null || asked.some((field) => !before.includes(field)));
}

/** @param results the rooms of the answer. null: memory is not enough */
export async function profilesOf(
  { tx, account, to }: SlidingContext,
  view: AccountView,
  plan: ProfilesPlan | null,
  results: readonly RoomResult[],
): Promise<ProfilesResult | null> {
  if (!plan) return new Map();
  const { asked, after, rooms } = plan;
  const users = [...new Set([...plan.users, ...results.flatMap((result) => usersIn(plan, result))])];
  if (users.length + rooms.length === 0 && (after === null || view.profilesOrd <= after)) return new Map();
  if (!tx) return null;
  const rows = await readProfiles(tx, { account, after, to, users, rooms, fields: asked.fields });
  const found = [...Map.groupBy(rows, (row) => row.user_id)].map(([user, of]) => [user, resultOf(of)] as const);
  return new Map(found.flatMap(([user, result]) => (result === undefined ? [] : [[user, result] as const])));
}

/** Whom a room of the answer shows that were not shown before. */
function usersIn({ scoped, entering }: ProfilesPlan, { roomId, content }: RoomResult): UserId[] {
  if (!scoped.inScope.has(roomId)) return [];
  const events = content.timeline?.events ?? [];
  const members = [...content.requiredState, ...events].flatMap((row) =>
    row.type === MEMBER && row.state_key !== null ? [row.state_key as UserId] : [],
  );
  return content.initial || entering.has(roomId) ? [...members, ...events.map((row) => row.sender)] : members;
}

/** undefined: there is nothing to send. */
function resultOf(rows: readonly ProfileRow[]): ProfileResult | null | undefined {
  const meeting = rows.find((row) => row.field === MEETING);
  if (meeting?.value === null) return meeting.changed ? null : undefined;
  const fields = rows.filter((row) => row.field !== MEETING);
  const updated = fields.flatMap(({ field, value }) => (value === null ? [] : [[field, value] as const]));
  const removed = fields.flatMap(({ field, value, changed }) => (value === null && changed ? [field] : []));
  return updated.length + removed.length > 0 ? { updated, removed } : undefined;
}

/** Changes that come while the extension is disabled are sent once it is enabled again. */
export function noteProfiles(plan: ProfilesPlan | null, { from, to }: Pick<SlidingContext, "from" | "to">, draft: StateDraft): void {
  const { sent, fields } = draft.profiles;
  if (plan) {
    noteScoped("profiles", plan.scoped, from, draft);
    draft.setProfiles({ sent: LIVE, fields: plan.asked.fields });
  } else if (sent === LIVE && from < to) draft.setProfiles({ sent: from, fields });
}
