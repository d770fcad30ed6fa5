/** Rooms as lists see them, at a position. */

import type { AccountNo, Position, RoomId } from "../wire/ids.ts";
import { hasRoomId } from "./account-rooms.ts";
import { byKey, type Db } from "./db.ts";
import { type Membership, parseFacts, type RoomFactsRow } from "./room-facts.ts";

type FactsRecord = { room_id: RoomId; membership: Membership; facts: string };

const parsed = (row: FactsRecord): RoomFactsRow => ({
  room_id: row.room_id,
  membership: row.membership,
  facts: parseFacts(row.facts),
});

/** Facts of some rooms at a position, without rooms that were unknown then. */
export async function factsAt(db: Db, account: AccountNo, roomIds: readonly RoomId[], at: Position): Promise<Map<RoomId, RoomFactsRow>> {
  if (roomIds.length === 0) return new Map();
  const rows = await db<FactsRecord[]>`
    select room_id, membership, facts from room_facts
    where account = ${account} and room_id = any(${[...roomIds]}::text[]) and from_ord <= ${at} and to_ord > ${at}`;
  return new Map(rows.filter(hasRoomId).map((row) => [row.room_id, parsed(row)]));
}

/** Facts of all rooms that the user was joined to at a position. */
export async function joinedFactsAt(db: Db, account: AccountNo, at: Position): Promise<RoomFactsRow[]> {
  const rows = await db<FactsRecord[]>`
    select room_id, membership, facts from room_facts
    where account = ${account} and from_ord <= ${at} and to_ord > ${at} and membership = 'join'`;
  return rows.filter(hasRoomId).map(parsed);
}

/** Rooms whose facts changed in (from, to]. */
export async function roomsWithNewFacts(db: Db, account: AccountNo, from: Position, to: Position): Promise<RoomId[]> {
  const rows = await db<{ room_id: RoomId }[]>`
    select distinct room_id from room_facts where account = ${account} and from_ord > ${from} and from_ord <= ${to}`;
  return rows.filter(hasRoomId).map((row) => row.room_id);
}

/**
 * How the user's membership developed over (from, to]: joined at each end, and whether it was anything but "join" in between. Unknown rooms
 * are left out.
 */
export async function membershipOver(
  db: Db,
  account: AccountNo,
  roomIds: readonly RoomId[],
  from: Position,
  to: Position,
): Promise<Map<RoomId, { joinedNow: boolean; interrupted: boolean }>> {
  if (roomIds.length === 0) return new Map();
  const rows = await db<{ room_id: RoomId; joined_now: boolean; interrupted: boolean }[]>`
    select room_id,
      bool_or(membership = 'join' and from_ord <= ${to} and to_ord > ${to}) as joined_now,
      bool_or(membership <> 'join') or min(from_ord) > ${from} as interrupted
    from room_facts
    where account = ${account} and room_id = any(${[...roomIds]}::text[]) and from_ord <= ${to} and to_ord > ${from}
    group by room_id`;
  return new Map(rows.map((row) => [row.room_id, { joinedNow: row.joined_now, interrupted: row.interrupted }]));
}

/** A room as it is now, whatever position is being evaluated. */
export type RoomNow = {
  /** ms: the smaller of the newest event's origin_server_ts and the time at which it was received (S5). */
  readonly recency: number;
  /** The position of the last batch that changed anything in the room. */
  readonly changedOrd: number;
};

/** The rooms that changed after `after` (0: all rooms), as they are now; null: the user is not in the room. */
export async function joinedRoomsNow(db: Db, account: AccountNo, after: Position | 0): Promise<Map<RoomId, (RoomFactsRow & RoomNow) | null>> {
  const rows = await db<{ room_id: RoomId; facts: string | null; last_ts: number; changed_ord: number }[]>`
    select s.room_id, f.facts, r.last_ts, s.changed_ord
    from standings s
    cross join lateral (select last_ts from rooms r where r.account = s.account and r.room_id = s.room_id ${byKey(db)}) r
    left join lateral (
      select facts from room_facts f
      where f.account = s.account and f.room_id = s.room_id and f.to_ord = 9223372036854775807 and f.membership = 'join' ${byKey(db)}) f on true
    where s.account = ${account} and s.changed_ord > ${after === 0 ? -1 : after}`;
  return new Map(
    rows
      .filter(hasRoomId)
      .map(({ room_id, facts, last_ts, changed_ord }) => [
        room_id,
        facts === null ? null : { ...parsed({ room_id, membership: "join", facts }), recency: last_ts, changedOrd: changed_ord },
      ]),
  );
}

/** Rooms as they are now. */
export async function roomsNow(db: Db, account: AccountNo, roomIds: readonly RoomId[] | "all"): Promise<Map<RoomId, RoomNow>> {
  const rows = await db<{ room_id: RoomId; last_ts: number; changed_ord: number }[]>`
    select room_id, r.last_ts, s.changed_ord
    from rooms r join standings s using (account, room_id)
    where account = ${account} and ${roomIds === "all" ? db`true` : db`room_id = any(${[...roomIds]}::text[])`}`;
  return new Map(rows.map((row) => [row.room_id, { recency: row.last_ts, changedOrd: row.changed_ord }]));
}
