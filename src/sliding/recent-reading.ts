/** Reads jobs from the last batches instead of the database: see recent.ts. */

import type { MemberRow } from "../store/members.ts";
import type { RoomFacts } from "../store/room-facts.ts";
import type { StateRow } from "../store/state.ts";
import { sentSince } from "../sync/message-expiry.ts";
import type { RoomId, UserId } from "../wire/ids.ts";
import type { SlidingContext } from "./context.ts";
import type { RoomRows, ReadTimeline } from "./reading.ts";
import { keyOf, type Recent, type RoomChange } from "./recent.ts";
import { matcherOf } from "./required-state.ts";
import type { RoomJob } from "./room-jobs.ts";

const MEMBER = "m.room.member";

/** What `readRooms` would read; null: memory is not enough. */
export function readRecent(context: SlidingContext, jobs: readonly RoomJob[]): RoomRows | null {
  const read = jobs.map((job) => [job, readRoom(context, job)] as const);
  const rooms = new Map<RoomId, RecentRows>();
  for (const [{ roomId }, room] of read) {
    if (!room) return null;
    rooms.set(roomId, room);
  }
  const part = <Part extends keyof RecentRows>(name: Part) => new Map([...rooms].map(([roomId, room]) => [roomId, room[name]]));
  const moved = read.filter(([job]) => job.choice.room.factsOrd > job.sent);
  return {
    stripped: new Map(),
    timelines: part("timeline"),
    factsBefore: new Map(moved.map(([{ roomId }]) => [roomId, rooms.get(roomId)?.factsBefore])),
    state: new Map(),
    changed: part("changed"),
    ended: new Map(),
    members: part("members"),
    membersChanged: part("membersChanged"),
    needs: [],
  };
}

/** Current members, as far as the last batches contain them; null: they lack one. */
export function recentMembers(
  { recent }: Pick<SlidingContext, "recent">,
  wanted: readonly { readonly roomId: RoomId; readonly userId: string }[],
): MemberRow[] | null {
  const rows: MemberRow[] = [];
  for (const { roomId, userId } of wanted) {
    const row = recent.flatMap((batch) => batch.rooms.get(roomId)?.members ?? []).findLast((member) => member.user_id === userId);
    if (!row) return null;
    rows.push(row);
  }
  return rows;
}

type RecentRows = {
  readonly timeline: ReadTimeline;
  readonly factsBefore: RoomFacts | undefined;
  readonly changed: readonly StateRow[];
  readonly members: readonly MemberRow[];
  readonly membersChanged: readonly MemberRow[];
};

function readRoom(context: SlidingContext, job: RoomJob): RecentRows | null {
  const { choice, sent, matcher } = job;
  const known = matcherOf(job.known);
  const isPlain = job.kind === "delta" && job.changed && !job.grown && !job.expanded && choice.room.membership === "join" && !choice.room.purged;
  if (!isPlain || !matcher.memberKeys.every((user) => known.matches(MEMBER, user))) return null;
  const changes = changesAfter(context.recent, sent, job.roomId);
  if (!changes) return null;
  const timeline = timelineOf(context, job, changes);
  const state = new Map(changes.flatMap((change) => change.state.map((row) => [keyOf(row.type, row.state_key ?? ""), row])));
  const members = new Map(changes.flatMap((change) => change.members.map((row) => [row.user_id, row])));
  const isReplaced = (key: string) => state.has(key) || members.has(key.slice(MEMBER.length + 1) as UserId);
  if (!timeline || !changes.every((change) => change.ends.every(isReplaced))) return null;
  const factsBefore = changes.find((change) => change.factsBefore)?.factsBefore;
  if (!factsBefore && choice.room.factsOrd > sent) return null;
  return {
    timeline,
    factsBefore,
    changed: [...state.values()],
    members: matcher.memberKeys.flatMap((user) => members.get(user as UserId) ?? []),
    membersChanged: [...members.values()].filter((row) => !row.learned),
  };
}

/** What happened in a room after a position; null: not all of that is cached. */
function changesAfter(recent: Recent, sent: number, roomId: RoomId): RoomChange[] | null {
  const first = recent.findIndex((batch) => batch.from === sent);
  return first < 0 ? null : recent.slice(first).flatMap((batch) => batch.rooms.get(roomId) ?? []);
}

/** null: the timeline is more than events that follow those sent before. */
function timelineOf(context: SlidingContext, { roomId, choice }: RoomJob, changes: readonly RoomChange[]): ReadTimeline | null {
  const limit = choice.config.timelineLimit;
  if (limit === 0) return { events: [], limited: false, prevBatch: null, exact: false };
  const rows = changes.flatMap((change) => change.timeline);
  const isOwn = rows.some((row) => row.sender === context.userId && !(row.txn_id && row.txn_device === context.device));
  const shownSince = sentSince(context, roomId, choice.room.facts) ?? -Infinity;
  const isExpired = ({ state_key, ts }: (typeof rows)[number]) => state_key === null && (ts ?? 0) < shownSince;
  if (rows.length > limit || isOwn || rows.some((row) => row.gap || context.ignored.includes(row.sender) || isExpired(row))) return null;
  const next = rows.findIndex((row) => row.prev_batch !== null);
  return { events: rows, limited: false, prevBatch: rows[next]?.prev_batch ?? null, exact: next === 0 };
}
