/** S1: typing ends with an empty set if the account's rooms were not polled successfully for a while (poller gone, restarted). */

import type { AccountNo, RoomId } from "../wire/ids.ts";
import { type Sql, writeTx } from "./db.ts";

export type ExpiredTyping = { readonly account: AccountNo; readonly rooms: readonly RoomId[] };

/**
 * Empties the typing sets of every account whose last successful v2 answer is older than `ageMs`, as a separate batch in each: one step of
 * the account's position. Any process may run it at any time; accounts that are being written to are skipped until the next time.
 */
export function expireTyping(sql: Sql, ageMs: number, limit = 500): Promise<ExpiredTyping[]> {
  return writeTx(sql, async (tx) => {
    // One batch, one ordinal: in all rooms of the account typing ends at the same position.
    const rows = await tx<{ account: AccountNo; room_id: RoomId }[]>`
      with stale as (
        select a.account, a.position from accounts a
        where a.account in (select t.account from typing t where t.users <> '[]')
          and not exists (select 1 from leases l where l.account = a.account and l.polled_at > now() - ${ageMs}::double precision * interval '1 millisecond')
          and not exists (select 1 from typing t where t.account = a.account and t.told_at > now() - ${ageMs}::double precision * interval '1 millisecond')
        limit ${limit} for update of a skip locked
      ), stepped as (
        update accounts a set position = a.position + 1 from stale where a.account = stale.account returning a.account, a.position
      )
      update typing t set users = '[]', ord = stepped.position
      from stepped where t.account = stepped.account and t.users <> '[]'
      returning t.account, t.room_id`;
    const rooms = Map.groupBy(rows, (row) => row.account);
    return [...rooms].map(([account, list]) => ({ account, rooms: list.map((row) => row.room_id) }));
  });
}
