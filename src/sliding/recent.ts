/**
 * What the last batches of an account brought, kept in memory as it was stored: who waits is told of it without a query. Only what is
 * plainly so: where anything is out of the ordinary the database is asked.
 */

import type { StoredBatch } from "../store/ingest/row-types.ts";
import type { MemberRow } from "../store/members.ts";
import type { RoomFacts } from "../store/room-facts.ts";
import type { StateRow } from "../store/state.ts";
import type { EventId, RoomId, UserId } from "../wire/ids.ts";
import type { ReadTimeline } from "./reading.ts";

/** One after the other, the last one ending at a view's position. */
export type Recent = readonly RecentBatch[];

type RecentBatch = { readonly from: number; readonly rooms: ReadonlyMap<RoomId, RoomChange> };

export type RoomChange = {
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

/** `type key`. */
export const keyOf = (type: string, key: string) => `${type} ${key}`;
