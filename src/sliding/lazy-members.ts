/** Lazily loaded members (MSC4186, "Lazy loaded memberships"): those that a client needs to show what it is sent, each of them once. */

import type { MemberRow } from "../store/members.ts";
import type { RoomId, UserId } from "../wire/ids.ts";
import type { SlidingContext } from "./context.ts";
import type { RoomJob } from "./room-jobs.ts";
import type { RoomRows, ReadTimeline } from "./reading.ts";
import { readMembers } from "./room-reading.ts";

/** `rows`: to be sent. `users`: those that the client knows afterwards, in the order in which they were sent. */
export type LazyMembers = { readonly rows: readonly MemberRow[]; readonly users: readonly UserId[] };

/** How many users are remembered per room. Those sent longest ago are forgotten, and sent again. */
const MAX_LAZY = 200;
const MEMBER = "m.room.member";

/** null: memory is not enough. */
export async function lazyMembers(context: SlidingContext, jobs: readonly RoomJob[], reading: RoomRows): Promise<Map<RoomId, LazyMembers> | null> {
  const plans = jobs.filter((job) => job.kind !== "stripped").map((job) => planOf(job, reading));
  const members = await readMembers(
    context,
    plans.flatMap((plan) => plan.wanted),
  );
  if (!members) return null;
  const fetched = Map.groupBy(members, (row) => row.room_id);
  return new Map(
    plans.map(({ roomId, before, changes, wanted }) => {
      const rows = [...changes, ...(wanted.length > 0 ? (fetched.get(roomId) ?? []) : [])];
      return [roomId, { rows, users: [...new Set([...before, ...rows.map((row) => row.user_id)])].slice(-MAX_LAZY) }];
    }),
  );
}

type MemberPlan = {
  readonly roomId: RoomId;
  /** Users that the client knows already. */
  readonly before: readonly UserId[];
  readonly changes: readonly MemberRow[];
  readonly wanted: readonly { readonly roomId: RoomId; readonly userId: UserId }[];
};

function planOf({ roomId, kind, matcher, record }: RoomJob, reading: RoomRows): MemberPlan {
  const timeline = reading.timelines.get(roomId);
  // Members that are asked for by name are sent anyway.
  const changed = (reading.membersChanged.get(roomId) ?? []).filter((row) => !matcher.matches(MEMBER, row.user_id));
  // Changes were missed in a gap: the client forgets its members, and so do we.
  const flushed = kind === "initial" || timeline?.limited === true;
  const before = flushed ? [] : record.lazy;
  if (!matcher.state.lazy) {
    const missed = new Set(changed.map((row) => row.user_id));
    return { roomId, before: before.filter((user) => !missed.has(user)), changes: [], wanted: [] };
  }
  const changes = flushed ? [] : changed;
  const known = new Set([...before, ...changes.map((row) => row.user_id)]);
  const wanted = neededBy(timeline).filter((user) => !known.has(user) && !matcher.matches(MEMBER, user));
  return { roomId, before, changes, wanted: wanted.map((userId) => ({ roomId, userId })) };
}

/** Senders, and users whose membership an event is about. */
function neededBy(timeline: ReadTimeline | undefined): UserId[] {
  const events = timeline?.events ?? [];
  const targets = events.flatMap((row) => (row.type === MEMBER && row.state_key !== null ? [row.state_key as UserId] : []));
  return [...new Set([...events.map((row) => row.sender), ...targets])];
}
