/** What the homeserver was asked for in the background: member events of heroes (T14), rooms that were left (T22), events (T7), and the beginnings of rooms (T4). */

import type { AccountNo, EventId, RoomId, UserId } from "../wire/ids.ts";
import { byKey, type Db } from "./db.ts";
import { OPEN } from "./ingest/row-types.ts";

export type RoomHero = { readonly roomId: RoomId; readonly userId: UserId };
/** Instead of a user id: that the ask is about a room's beginning. */
export const BEGINNING = "beginning";
/** A hero; with an empty user id a room; with an event id an event; or a room's beginning. */
export type BackgroundAsk = RoomHero | { readonly roomId: RoomId; readonly userId: "" | EventId | typeof BEGINNING };

/** `ms`: for how long what was claimed is not due again. `limit`: most that are claimed. */
export type Claim = { readonly ms: number; readonly limit: number };

/** Most rooms, and most rooms' beginnings, that an account is asked for in the time of a claim. */
const MOST_ROOMS = 100;
const MOST_BEGINNINGS = 200;

/** Claims those of the heroes that have no stored member event and are due. No process claims the same. */
export async function claimHeroes(db: Db, account: AccountNo, asks: readonly BackgroundAsk[], { ms, limit }: Claim): Promise<BackgroundAsk[]> {
  return await db<BackgroundAsk[]>`
    insert into background_asks as b (account, room_id, user_id, due_at)
    select distinct ${account}::bigint, a.room_id, a.user_id, now() + ${ms}::double precision * interval '1 millisecond'
    from unnest(${asks.map((ask) => ask.roomId)}::text[], ${asks.map((ask) => ask.userId)}::text[]) as a(room_id, user_id)
    left join lateral (
      select m.user_id from members m where m.account = ${account} and m.room_id = a.room_id and m.user_id = a.user_id and m.to_ord = ${OPEN}::bigint
      union all
      select k.user_id from background_asks k where k.account = ${account} and k.room_id = a.room_id and k.user_id = a.user_id and k.due_at > now()
      ${byKey(db)}) known on true
    where known.user_id is null
    limit ${limit}
    on conflict (account, room_id, user_id) do update set due_at = excluded.due_at where b.due_at <= now()
    returning room_id as "roomId", user_id as "userId"`;
}

/** Claims those of the rooms that the account never had and that are due; of an account at most 100 in the time of a claim. */
export async function claimRooms(db: Db, account: AccountNo, asks: readonly BackgroundAsk[], { ms, limit }: Claim): Promise<BackgroundAsk[]> {
  return await db<BackgroundAsk[]>`
    insert into background_asks as b (account, room_id, user_id, due_at)
    select distinct ${account}::bigint, a.room_id, '', now() + ${ms}::double precision * interval '1 millisecond'
    from unnest(${asks.map((ask) => ask.roomId)}::text[]) as a(room_id)
    left join lateral (
      select s.room_id from standings s where s.account = ${account} and s.room_id = a.room_id
      union all
      select k.room_id from background_asks k where k.account = ${account} and k.room_id = a.room_id and k.user_id = '' and k.due_at > now()
      ${byKey(db)}) known on true
    where known.room_id is null
    limit (
      select greatest(0, least(${limit}, ${MOST_ROOMS} - count(*))) from background_asks
      where account = ${account} and user_id = '' and due_at > now())
    on conflict (account, room_id, user_id) do update set due_at = excluded.due_at where b.due_at <= now()
    returning room_id as "roomId", user_id as "userId"`;
}

/** Claims those of the rooms' beginnings that are due; of an account at most 200 in the time of a claim. */
export async function claimBeginnings(db: Db, account: AccountNo, asks: readonly BackgroundAsk[], { ms, limit }: Claim): Promise<BackgroundAsk[]> {
  const [row] = await db<{ claimed: number }[]>`
    select count(*) as claimed from background_asks where account = ${account} and user_id = ${BEGINNING} and due_at > now()`;
  return await claimDue(db, account, asks, { ms, limit: Math.max(0, Math.min(limit, MOST_BEGINNINGS - (row?.claimed ?? 0))) });
}

/** Claims those that are due. */
export async function claimDue(db: Db, account: AccountNo, asks: readonly BackgroundAsk[], { ms, limit }: Claim): Promise<BackgroundAsk[]> {
  return await db<BackgroundAsk[]>`
    insert into background_asks as b (account, room_id, user_id, due_at)
    select distinct ${account}::bigint, a.room_id, a.name, now() + ${ms}::double precision * interval '1 millisecond'
    from unnest(${asks.map((ask) => ask.roomId)}::text[], ${asks.map((ask) => ask.userId)}::text[]) as a(room_id, name)
    where not exists (
      select from background_asks k where k.account = ${account} and k.room_id = a.room_id and k.user_id = a.name and k.due_at > now())
    limit ${limit}
    on conflict (account, room_id, user_id) do update set due_at = excluded.due_at where b.due_at <= now()
    returning room_id as "roomId", user_id as "userId"`;
}

/** They are due in `ms`. */
export async function postponeAsks(db: Db, account: AccountNo, asks: readonly BackgroundAsk[], ms: number): Promise<void> {
  await db`
    update background_asks b set due_at = now() + ${ms}::double precision * interval '1 millisecond'
    from unnest(${asks.map((ask) => ask.roomId)}::text[], ${asks.map((ask) => ask.userId)}::text[]) as a(room_id, user_id)
    where b.account = ${account} and b.room_id = a.room_id and b.user_id = a.user_id`;
}
