/**
 * What the last batches of an account brought, kept in memory as it was stored: who waits is told of it without a query. Only what is
 * plainly so: where anything is out of the ordinary the database is asked.
 */

import type { StoredBatch } from "../../store/ingest/rows.ts";
import type { MemberRow } from "../../store/members.ts";
import type { RoomFacts } from "../../store/room-facts.ts";
import type { StateRow } from "../../store/state.ts";
import type { EventId, RoomId, UserId } from "../../wire/ids.ts";
import type { SlidingContext } from "./context.ts";
import { matcherOf } from "./required-state.ts";
import type { RoomJob } from "./room-jobs.ts";
import type { Reading, ReadTimeline } from "./room-reading.ts";

/** One after the other, the last one ending at a view's position. */
export type Recent = readonly RecentBatch[];

type RecentBatch = { readonly from: number; readonly rooms: ReadonlyMap<RoomId, RoomChange> };

type RoomChange = {
  readonly timeline: readonly (ReadTimeline["events"][number] & { readonly gap: boolean; readonly prev_batch: string | null })[];
  /** With those that the batch itself ended, in their order. */
  readonly state: readonly StateRow[];
  readonly members: readonly MemberRow[];
  /** `type key` of what was ended. */
  readonly ends: readonly string[];
  /** Only where they changed. */
  readonly factsBefore: RoomFacts | undefined;
};

/** Batches of an account, and events of one, that are kept. */
const MAX_BATCHES = 16;
const MAX_EVENTS = 100;
const MEMBER = "m.room.member";

/** `recent` with one batch more, which began where it ends. Of a batch that changed what was told before, or is large, nothing is kept. */
export function withBatch(recent: Recent, batch: StoredBatch): Recent {
  const { writes } = batch;
  if (writes.position === batch.from) return recent;
  const plain = writes.redactions.length + writes.membersEnds.length + writes.invites.length + writes.inviteEnds.length === 0;
  if (!plain || writes.events.length > MAX_EVENTS) return [];
  const rooms = changesOf(batch);
  return rooms ? [...recent, { from: batch.from, rooms }].slice(-MAX_BATCHES) : [];
}

/** null: a row is of an event that the batch does not hold. */
function changesOf({ device, writes, factsBefore }: StoredBatch): Map<RoomId, RoomChange> | null {
  const events = new Map(writes.events.map((event) => [event.event_id, event]));
  const ids = [...writes.timeline, ...writes.state, ...writes.members].map((row) => row.event_id);
  if (!ids.every((id) => events.has(id))) return null;
  const eventOf = (id: EventId) => {
    const { type = "", state_key = null, sender = "" as UserId, body = "{}" } = events.get(id) ?? {};
    return { type, state_key, sender, body };
  };
  const timeline = Map.groupBy(writes.timeline, (row) => row.room_id);
  const state = Map.groupBy(writes.state, (row) => row.room_id);
  const members = Map.groupBy(writes.members, (row) => row.room_id);
  const ends = Map.groupBy(
    [...writes.stateEnds, ...writes.memberEnds.map((end) => ({ ...end, type: MEMBER, state_key: end.user_id }))],
    (end) => end.room_id,
  );
  const of = new Set([timeline, state, members, ends].flatMap((map) => [...map.keys()]).concat([...factsBefore.keys()]));
  return new Map(
    [...of].map((roomId) => [
      roomId,
      {
        timeline: (timeline.get(roomId) ?? []).map((row) => ({ ...row, ...eventOf(row.event_id), txn_device: row.txn_id === null ? null : device })),
        state: (state.get(roomId) ?? []).map((row) => ({ ...row, ...eventOf(row.event_id), state_key: row.state_key })),
        members: (members.get(roomId) ?? []).map((row) => ({ ...row, ...eventOf(row.event_id), state_key: row.user_id })),
        ends: (ends.get(roomId) ?? []).map((end) => keyOf(end.type, end.state_key)),
        factsBefore: factsBefore.get(roomId),
      },
    ]),
  );
}

/** What `readRooms` would read; null: that is not known here. */
export function readRecent(context: SlidingContext, jobs: readonly RoomJob[]): Reading | null {
  const read = jobs.map((job) => [job, readRoom(context, job)] as const);
  const rooms = new Map<RoomId, RoomReading>();
  for (const [{ roomId }, room] of read) {
    if (!room) return null;
    rooms.set(roomId, room);
  }
  const part = <Part extends keyof RoomReading>(name: Part) => new Map([...rooms].map(([roomId, room]) => [roomId, room[name]]));
  const moved = read.filter(([job]) => job.choice.room.factsOrd > job.told);
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

/** Members as they are now, of whom a batch has told; null: of somebody none has. */
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

type RoomReading = {
  readonly timeline: ReadTimeline;
  readonly factsBefore: RoomFacts | undefined;
  readonly changed: readonly StateRow[];
  readonly members: readonly MemberRow[];
  readonly membersChanged: readonly MemberRow[];
};

function readRoom(context: SlidingContext, job: RoomJob): RoomReading | null {
  const { choice, told, matcher } = job;
  const known = matcherOf(job.known);
  const isPlain = job.kind === "delta" && job.changed && !job.grown && !job.expanded && choice.room.membership === "join" && !choice.room.purged;
  if (!isPlain || !matcher.memberKeys.every((user) => known.matches(MEMBER, user))) return null;
  const changes = changesAfter(context.recent, told, job.roomId);
  if (!changes) return null;
  const timeline = timelineOf(context, job, changes);
  const state = new Map(changes.flatMap((change) => change.state.map((row) => [keyOf(row.type, row.state_key ?? ""), row])));
  const members = new Map(changes.flatMap((change) => change.members.map((row) => [row.user_id, row])));
  const isReplaced = (key: string) => state.has(key) || members.has(key.slice(MEMBER.length + 1) as UserId);
  if (!timeline || !changes.every((change) => change.ends.every(isReplaced))) return null;
  const factsBefore = changes.find((change) => change.factsBefore)?.factsBefore;
  if (!factsBefore && choice.room.factsOrd > told) return null;
  return {
    timeline,
    factsBefore,
    changed: [...state.values()],
    members: matcher.memberKeys.flatMap((user) => members.get(user as UserId) ?? []),
    membersChanged: [...members.values()].filter((row) => !row.learned),
  };
}

/** What happened in a room after a position; null: not all of that is kept. */
function changesAfter(recent: Recent, told: number, roomId: RoomId): RoomChange[] | null {
  const first = recent.findIndex((batch) => batch.from === told);
  return first < 0 ? null : recent.slice(first).flatMap((batch) => batch.rooms.get(roomId) ?? []);
}

/** null: there is more to it than events that follow those before. */
function timelineOf(context: SlidingContext, { choice }: RoomJob, changes: readonly RoomChange[]): ReadTimeline | null {
  const limit = choice.config.timelineLimit;
  if (limit === 0) return { events: [], limited: false, prevBatch: null, exact: false };
  const rows = changes.flatMap((change) => change.timeline);
  const isOwn = rows.some((row) => row.sender === context.userId && !(row.txn_id && row.txn_device === context.device));
  if (rows.length > limit || isOwn || rows.some((row) => row.gap || context.ignored.includes(row.sender))) return null;
  const next = rows.findIndex((row) => row.prev_batch !== null);
  return { events: rows, limited: false, prevBatch: rows[next]?.prev_batch ?? null, exact: next === 0 };
}

const keyOf = (type: string, key: string) => `${type} ${key}`;
