/** Which accounts do not advance, and why (N7). */

import type { Db } from "./db.ts";

/** An account whose polls succeed has a success within a long poll and some seconds. */
const ADVANCING = "2 minutes";
/** Accounts whose clients were not seen for so long are not polled. */
const IDLE = "30 days";

export type Stalls = {
  /**
   * Seconds since the last v2 answer was stored, for the account where that is longest, among those with a live token whose client was seen
   * in the last 30 days and whose first sync is over, also the one after the homeserver was restored. 0: there is none.
   */
  readonly oldest: number;
  /**
   * How many accounts do not advance, by reason: logged_out (no live token), idle (no client was seen in 30 days), first_sync, or how their
   * polls fail: the kind of the upstream error, what the database needs, `content` (their answer cannot be stored), `unknown`.
   */
  readonly accounts: ReadonlyMap<string, number>;
};

/** One pass over the accounts: some 50 ms for 10 000 of them. */
export async function readStalls(db: Db): Promise<Stalls> {
  const rows = await db<{ reason: string; accounts: number; oldest: number }[]>`
    select reason, count(*) as accounts, extract(epoch from max(now() - advanced_at))::float8 as oldest from (
      select coalesce(l.polled_at, a.created_at) as advanced_at,
        case
          when not exists (select from tokens t where t.account = a.account and t.dead_at is null) then 'logged_out'
          when a.seen_at < now() - ${IDLE}::interval then 'idle'
          when not a.complete or a.restored then 'first_sync'
          when coalesce(l.polled_at, a.created_at) > now() - ${ADVANCING}::interval then 'advancing'
          when p.last_at > coalesce(l.polled_at, a.created_at) then p.reason
          else 'unknown'
        end as reason
      from accounts a left join leases l using (account) left join poll_troubles p using (account)) s
    group by reason`;
  const due = rows.filter(({ reason }) => !NOT_DUE.has(reason));
  return {
    oldest: Math.max(0, ...due.map(({ oldest }) => oldest)),
    accounts: new Map(rows.filter(({ reason }) => reason !== "advancing").map(({ reason, accounts }) => [reason, accounts])),
  };
}

/** Reasons for which an account is not expected to advance. */
export const NOT_DUE: ReadonlySet<string> = new Set(["logged_out", "idle", "first_sync"]);
