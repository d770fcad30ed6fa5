/**
 * The last batches of an account, cached as they were stored, so that waiting requests are answered without a query. Only the plain cases are
 * covered; for everything unusual the database is read.
 */

import type { StoredBatch } from "../store/ingest/row-types.ts";
import type { MemberRow } from "../store/members.ts";
import type { RoomFacts } from "../store/room-facts.ts";
import type { StateRow } from "../store/state.ts";
import type { EventId, RoomId, UserId } from "../wire/ids.ts";
import type { ReadTimeline } from "./reading.ts";

/** Consecutive batches; the last one ends at a view's position. */
export type Recent = readonly RecentBatch[];

type RecentBatch = { readonly from: number; readonly rooms: ReadonlyMap<RoomId, RoomChange> };

export type RoomChange = {
  readonly timeline: readonly (ReadTimeline["events"][number] & { readonly gap: boolean; readonly prev_batch: string | null })[];
  /** In order, and including rows that the batch itself ended. */
  readonly state: readonly StateRow[];
  readonly members: readonly MemberRow[];
  /** `type key` of the rows that ended. */
  readonly ends: readonly string[];
  /** Only if they changed. */
  readonly factsBefore: RoomFacts | undefined;
};

/** Cached batches of an account, and the most events that a cached batch may have. */
const MAX_BATCHES = 16;
const MAX_EVENTS = 100;
const MEMBER = "m.room.member";

/** Appends a batch that began where `recent` ends. A batch that is large, or that changes what was sent before, empties it. */
export function withBatch(recent: Recent, batch: StoredBatch): Recent {
  const { writes } = batch;
  if (writes.position === batch.from) return recent;
  const plain =
    writes.redactions.length + writes.ownBodies.length + writes.membersEnds.length + writes.invites.length + writes.inviteEnds.length === 0;
  if (!plain || writes.events.length > MAX_EVENTS) return [];
  const rooms = changesOf(batch);
  return rooms ? [...recent, { from: batch.from, rooms }].slice(-MAX_BATCHES) : [];
}

/** null: a row belongs to an event that is not in the batch. */
function changesOf({ device, writes, factsBefore }: StoredBatch): Map<RoomId, RoomChange> | null {
  const events = new Map(writes.events.map((event) => [event.event_id, event]));
  const ids = [...writes.timeline, ...writes.state, ...writes.members].map((row) => row.event_id);
  if (!ids.every((id) => events.has(id))) return null;
  const eventOf = (id: EventId) => {
    const { type = "", state_key = null, sender = "" as UserId, body = "{}", ts = 0 } = events.get(id) ?? {};
    return { type, state_key, sender, body, ts };
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

/** `type key`. */
export const keyOf = (type: string, key: string) => `${type} ${key}`;
