/** Which heroes without a member event the homeserver was asked for (T14). */

import type { AccountNo, RoomId, UserId } from "../wire/ids.ts";
import { byKey, type Db } from "./db.ts";
import { OPEN } from "./ingest/row-types.ts";

export type RoomHero = { readonly roomId: RoomId; readonly userId: UserId };

/**
 * Those of the heroes that have no stored member event and are due, at most `limit`. In no process are they due again for `ms`.
 */
export async function claimHeroes(
  db: Db,
  account: AccountNo,
  heroes: readonly RoomHero[],
  { ms, limit }: { readonly ms: number; readonly limit: number },
): Promise<RoomHero[]> {
  return await db<RoomHero[]>`
    insert into hero_asks as h (account, room_id, user_id, due_at)
    select distinct ${account}::bigint, a.room_id, a.user_id, now() + ${ms}::double precision * interval '1 millisecond'
    from unnest(${heroes.map((hero) => hero.roomId)}::text[], ${heroes.map((hero) => hero.userId)}::text[]) as a(room_id, user_id)
    left join lateral (
      select m.user_id from members m where m.account = ${account} and m.room_id = a.room_id and m.user_id = a.user_id and m.to_ord = ${OPEN}::bigint
      union all
      select k.user_id from hero_asks k where k.account = ${account} and k.room_id = a.room_id and k.user_id = a.user_id and k.due_at > now()
      ${byKey(db)}) known on true
    where known.user_id is null
    limit ${limit}
    on conflict (account, room_id, user_id) do update set due_at = excluded.due_at where h.due_at <= now()
    returning room_id as "roomId", user_id as "userId"`;
}

/** They are due in `ms`. */
export async function postponeHeroes(db: Db, account: AccountNo, heroes: readonly RoomHero[], ms: number): Promise<void> {
  await db`
    update hero_asks h set due_at = now() + ${ms}::double precision * interval '1 millisecond'
    from unnest(${heroes.map((hero) => hero.roomId)}::text[], ${heroes.map((hero) => hero.userId)}::text[]) as a(room_id, user_id)
    where h.account = ${account} and h.room_id = a.room_id and h.user_id = a.user_id`;
}
