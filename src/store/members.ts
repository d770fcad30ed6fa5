/** Members of rooms at a position: individual ones, pages of all, and changes. */

import type { AccountNo, Position, RoomId, UserId } from "../wire/ids.ts";
import { byKey, type Db } from "./db.ts";
import { bodyOf, type EventRow } from "./event-row.ts";

export type MemberRow = EventRow & { readonly user_id: UserId; readonly from_ord: number; readonly membership: string; readonly learned: boolean };
export type MembersState = "none" | "complete" | "stale";

/** Whether the full member list of a room is known and up to date. */
export async function membersState(db: Db, account: AccountNo, roomId: RoomId): Promise<MembersState> {
  const [row] = await db<{ members: MembersState }[]>`
    select members from rooms where account = ${account} and room_id = ${roomId}`;
  return row?.members ?? "none";
}

/** The rooms whose full member list is known. */
export async function roomsWithAllMembers(db: Db, account: AccountNo, roomIds: readonly RoomId[]): Promise<Set<RoomId>> {
  if (roomIds.length === 0) return new Set();
  const rows = await db<{ room_id: RoomId }[]>`
    select room_id from rooms where account = ${account} and room_id = any(${[...roomIds]}::text[]) and members = 'complete'`;
  return new Set(rows.map((row) => row.room_id));
}

/**
 * Whether members of a room were learned after a position that is behind the account's: a snapshot at it lacks them, and no delta after it
 * contains them.
 */
export async function membersLearnedAfter(db: Db, account: AccountNo, roomId: RoomId, at: Position): Promise<boolean> {
  const [row] = await db<{ late: boolean }[]>`
    select position > ${at} and exists (
      select from members where account = ${account} and room_id = ${roomId} and learned and from_ord > ${at}) as late
    from accounts where account = ${account}`;
  return row?.late ?? false;
}

/** Member events of some users at their rooms' positions, where known; by room, then user. */
export async function membersAt(
  db: Db,
  account: AccountNo,
  wanted: readonly { readonly roomId: RoomId; readonly userId: string; readonly at: number }[],
): Promise<MemberRow[]> {
  if (wanted.length === 0) return [];
  return db<MemberRow[]>`
    select m.room_id, m.user_id, m.from_ord, m.membership, m.learned, m.event_id, m.unsigned, m.age_ts,
      'm.room.member' as type, m.user_id as state_key, e.sender, ${bodyOf(db, account)} as body
    from (select distinct * from unnest(${wanted.map((w) => w.roomId)}::text[], ${wanted.map((w) => w.userId)}::text[], ${wanted.map((w) => w.at)}::bigint[])) as w(room_id, user_id, at)
    cross join lateral (
      select * from members m
      where m.account = ${account} and m.room_id = w.room_id and m.user_id = w.user_id and m.from_ord <= w.at and m.to_ord > w.at ${byKey(db)}) m
    join events e using (event_id)
    order by m.room_id, m.user_id collate "C"`;
}

/** All known members of a room at a position. For `["m.room.member", "*"]`. */
export async function allMembersAt(
  db: Db,
  account: AccountNo,
  rooms: readonly { readonly roomId: RoomId; readonly at: number }[],
): Promise<MemberRow[]> {
  if (rooms.length === 0) return [];
  return db<MemberRow[]>`
    select m.room_id, m.user_id, m.from_ord, m.membership, m.learned, m.event_id, m.unsigned, m.age_ts,
      'm.room.member' as type, m.user_id as state_key, e.sender, ${bodyOf(db, account)} as body
    from unnest(${rooms.map((r) => r.roomId)}::text[], ${rooms.map((r) => r.at)}::bigint[]) as r(room_id, at)
    cross join lateral (
      select * from members m where m.account = ${account} and m.room_id = r.room_id and m.from_ord <= r.at and m.to_ord > r.at ${byKey(db)}) m
    join events e using (event_id)
    order by m.room_id, m.user_id collate "C"`;
}

/** Member events of the same users in each room at its position, where known; by room, then user. */
export async function someMembersAt(
  db: Db,
  account: AccountNo,
  rooms: readonly { readonly roomId: RoomId; readonly at: number }[],
  userIds: readonly string[],
): Promise<MemberRow[]> {
  if (rooms.length === 0 || userIds.length === 0) return [];
  return db<MemberRow[]>`
    select m.room_id, m.user_id, m.from_ord, m.membership, m.learned, m.event_id, m.unsigned, m.age_ts,
      'm.room.member' as type, m.user_id as state_key, e.sender, ${bodyOf(db, account)} as body
    from unnest(${rooms.map((r) => r.roomId)}::text[], ${rooms.map((r) => r.at)}::bigint[]) as r(room_id, at)
    cross join (select distinct * from unnest(${[...userIds]}::text[])) as u(user_id)
    cross join lateral (
      select * from members m
      where m.account = ${account} and m.room_id = r.room_id and m.user_id = u.user_id and m.from_ord <= r.at and m.to_ord > r.at ${byKey(db)}) m
    join events e using (event_id)
    order by m.room_id, m.user_id collate "C"`;
}

export type MemberOrder =
  | { readonly by: "name" }
  /** Levels of individual users, and the default level. */
  | { readonly by: "power"; readonly explicit: readonly (readonly [string, number])[]; readonly usersDefault: number };

/**
 * Up to `limit` members after the user `after` (null: from the start) in an order, at a position. Names compare by code point of their
 * case-folded form, user ids break ties (S3). Whatever the limits, the pages together contain every member of the snapshot exactly once.
 */
export async function memberPage(
  db: Db,
  account: AccountNo,
  roomId: RoomId,
  page: {
    readonly at: Position;
    readonly membership: readonly string[];
    readonly order: MemberOrder;
    readonly after: string | null;
    readonly limit: number;
  },
): Promise<MemberRow[]> {
  const explicit = page.order.by === "power" ? page.order.explicit : [];
  const usersDefault = page.order.by === "power" ? page.order.usersDefault : 0;
  const users = explicit.map(([user]) => user);
  const levels = explicit.map(([, level]) => level);
  const present = db`m.account = ${account} and m.room_id = ${roomId} and m.from_ord <= ${page.at} and m.to_ord > ${page.at}`;
  const asked = db`m.membership = any(${[...page.membership]}::text[])`;
  // Nearly all members have the default level, and their order is that of an index; the others are looked up individually. `offset 0` makes
  // PostgreSQL use that order, because it does not know yet how large a list is that was just stored.
  return db<MemberRow[]>`
    with explicit as (
      select user_id, level from unnest(${users}::text[], ${levels}::float8[]) as l(user_id, level)
    ), after_member as (
      select coalesce(l.level, ${usersDefault}::float8) as level, m.sort_name, m.user_id
      from (select * from members m where ${present} and m.user_id = ${page.after} ${byKey(db)}) m left join explicit l using (user_id)
    ), start as (
      select p.level, case when p.level > ${usersDefault}::float8 then '' else p.sort_name end as sort_name,
        case when p.level > ${usersDefault}::float8 then '' else p.user_id end as user_id
      from after_member p
      union all select 'infinity', '', '' where ${page.after}::text is null
    )
    select c.room_id, c.user_id, c.from_ord, c.membership, c.learned, c.event_id, c.unsigned, c.age_ts,
      'm.room.member' as type, c.user_id as state_key, e.sender, ${bodyOf(db, account)} as body
    from (
      select * from (
        select m.*, l.level from explicit l
        cross join lateral (select * from members m where ${present} and m.user_id = l.user_id ${byKey(db)}) m
        where ${asked} and (${page.after}::text is null or l.level < (select level from after_member)
          or (l.level = (select level from after_member)
            and (m.sort_name collate "C", m.user_id collate "C") > ((select sort_name from after_member), (select user_id from after_member))))
        union all (
          select m.*, ${usersDefault}::float8 as level
          from (
            select * from members m
            where hashtextextended(m.room_id, m.account) = hashtextextended(${roomId}, ${account})
              and (m.sort_name collate "C", m.user_id collate "C") > ((select sort_name from start), (select user_id from start))
            order by m.sort_name collate "C", m.user_id collate "C" offset 0
          ) m
          where ${present} and ${asked} and m.user_id <> all(${users}::text[]) and (select level from start) >= ${usersDefault}::float8
          limit ${page.limit}
        )
      ) c
      order by c.level desc, c.sort_name collate "C", c.user_id collate "C"
      limit ${page.limit}
    ) c
    join events e using (event_id)
    order by c.level desc, c.sort_name collate "C", c.user_id collate "C"`;
}

/** The members of rooms whose present event, at `to`, happened after `from`; by room, then user. */
export async function membersChanged(db: Db, account: AccountNo, roomIds: readonly RoomId[], from: Position, to: Position): Promise<MemberRow[]> {
  if (roomIds.length === 0) return [];
  return db<MemberRow[]>`
    select m.room_id, m.user_id, m.from_ord, m.membership, m.learned, m.event_id, m.unsigned, m.age_ts,
      'm.room.member' as type, m.user_id as state_key, e.sender, ${bodyOf(db, account)} as body
    from members m join events e using (event_id)
    where m.account = ${account} and m.room_id = any(${[...roomIds]}::text[]) and m.from_ord > ${from} and m.from_ord <= ${to} and m.to_ord > ${to}
      and not m.learned
    order by m.room_id, m.user_id collate "C"`;
}

/** Up to `limit` member events that happened in (from, to], oldest first, of users who are or were of one of the memberships. */
export async function memberChanges(
  db: Db,
  account: AccountNo,
  roomId: RoomId,
  range: { readonly from: Position; readonly to: Position; readonly membership: readonly string[]; readonly limit: number },
): Promise<MemberRow[]> {
  return db<MemberRow[]>`
    select m.room_id, m.user_id, m.from_ord, m.membership, m.learned, m.event_id, m.unsigned, m.age_ts,
      'm.room.member' as type, m.user_id as state_key, e.sender, ${bodyOf(db, account)} as body
    from members m join events e using (event_id)
    where m.account = ${account} and m.room_id = ${roomId} and m.from_ord > ${range.from} and m.from_ord <= ${range.to}
      and not m.learned and (m.membership = any(${[...range.membership]}::text[]) or m.was = any(${[...range.membership]}::text[]))
    order by m.from_ord
    limit ${range.limit}`;
}
