/** Accounts that do not advance, and why: what the operator sees, and what the breaker of N3 counts. */

import type { AccountNo } from "../wire/ids.ts";
import type { Db } from "./db.ts";

/** For this long failures of several accounts count as the same incident. */
const ALIKE = "10 minutes";

/** Records that a poll failed, or that its answer could not be stored. After a successful poll a new trouble begins. */
export async function noteTrouble(db: Db, account: AccountNo, reason: string, detail: string): Promise<void> {
  const ended = db`exists (select from leases l where l.account = p.account and l.polled_at > p.last_at)`;
  await db`
    insert into poll_troubles as p (account, reason, detail) values (${account}, ${reason}, ${detail})
    on conflict (account) do update set reason = excluded.reason, detail = excluded.detail, last_at = now(),
      first_at = case when ${ended} then now() else p.first_at end, failures = case when ${ended} then 1 else p.failures + 1 end`;
}

/** Records that the trouble is over. */
export async function endTrouble(db: Db, account: AccountNo, reason: string): Promise<void> {
  await db`delete from poll_troubles where account = ${account} and reason = ${reason}`;
}

/** How many accounts have an answer that fails in the same way, or was set aside for that, and how many may (N3). */
export type Alike = { readonly accounts: number; readonly allowed: number };

/** More than 3 accounts or 1 % of them, whichever is more, are not blamed: the database or this server is at fault. */
const ALLOWED = "greatest(3, (select count(*) from accounts) / 100)";

export async function countAlike(db: Db, detail: string): Promise<Alike> {
  const [row] = await db<Alike[]>`
    select count(distinct account) as accounts, ${db.unsafe(ALLOWED)} as allowed from (
      select account from poll_troubles where reason = 'content' and detail = ${detail} and last_at > now() - ${ALIKE}::interval
      union all
      select account from poison where error = ${detail} and at > now() - ${ALIKE}::interval
    ) alike`;
  return row ?? { accounts: 0, allowed: 0 };
}

/** A failure that so many accounts share that none of them is set aside; null: there is none. */
export async function readBreaker(db: Db): Promise<{ readonly detail: string; readonly accounts: number } | null> {
  const [row] = await db<{ detail: string; accounts: number }[]>`
    select detail, count(*) as accounts from poll_troubles where reason = 'content' and last_at > now() - ${ALIKE}::interval
    group by detail having count(*) > ${db.unsafe(ALLOWED)} order by 2 desc limit 1`;
  return row ?? null;
}
