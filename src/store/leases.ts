/**
 * Which process polls which account: one row each, valid until `expires_at` by the database's clock. The epoch rises whenever an account
 * changes hands, and every ingest checks it, so that a former owner that does not know yet can store nothing.
 *
 * An owner whose name begins with `lock:` holds the session advisory lock of its name, on a connection of its own, for as long as it lives
 * (owner-lock.ts). If that lock is free, the owner is dead, and its accounts may be taken at once instead of after `expires_at`.
 */

import type { AccountNo } from "../wire/ids.ts";
import type { Db } from "./db.ts";

export type Lease = { readonly account: AccountNo; readonly epoch: number };

/** What a renewal writes. `polledAgoMs`: time since the account's last successful v2 answer; null: none since the last renewal. */
export type LeaseRenewal = Lease & { readonly polledAgoMs: number | null };

/** A token was used in a successful poll, which proves that it is valid: its hash as hex, and how long ago. */
export type TokenProof = { readonly hash: string; readonly agoMs: number };

/** A proof that is newer than the recorded one by less than this, ms, is the same one, and is not written again. */
const SAME_PROOF_MS = 1000;

/**
 * Takes up to `limit` accounts that no process polls: seen within `idleMs`, with a live token. `only`: that account, whenever it was seen.
 * Concurrent callers never get the same one. With 50 000 accounts, none of them free, it takes 25 ms.
 */
export async function claimLeases(
  db: Db,
  owner: string,
  ttlMs: number,
  which: { readonly idleMs: number; readonly limit: number } | { readonly only: AccountNo },
): Promise<Lease[]> {
  const wanted =
    "only" in which ? db`a.account = ${which.only}` : db`a.seen_at > now() - ${which.idleMs}::double precision * interval '1 millisecond'`;
  const limit = "only" in which ? 1 : which.limit;
  return db<Lease[]>`
    with held as (
      select (classid::bigint << 32) | objid::bigint as key from pg_locks
      where locktype = 'advisory' and objsubid = 1 and granted and database = (select oid from pg_database where datname = current_database())
    ), dead as (
      select owner from (select distinct owner from leases where expires_at > now() and owner like 'lock:%') o
      where not exists (select 1 from held where held.key = hashtextextended(o.owner, 0))
    ), free as (
      select a.account from accounts a left join leases l using (account)
      where ${wanted}
        and (l.account is null or l.expires_at <= now() or l.owner in (select owner from dead))
        and exists (select 1 from tokens t where t.account = a.account and t.dead_at is null)
      limit ${limit}
    )
    insert into leases as l (account, owner, epoch, expires_at)
    select account, ${owner}, 1, now() + ${ttlMs}::double precision * interval '1 millisecond' from free
    on conflict (account) do update set owner = excluded.owner, epoch = l.epoch + 1, expires_at = excluded.expires_at
      where l.expires_at <= now() or l.owner in (select owner from dead)
    returning account, epoch`;
}

/**
 * Renews leases and writes what was learned by polling, in one statement for all accounts of a process: an idle long poll costs no write of
 * its own (10 000 leases: 60 ms). Returns the accounts that are still the owner's; the others were taken over or deleted.
 */
export async function renewLeases(
  db: Db,
  owner: string,
  ttlMs: number,
  leases: readonly LeaseRenewal[],
  proofs: readonly TokenProof[],
): Promise<Set<AccountNo>> {
  const rows = await db<{ account: AccountNo }[]>`
    with proven as (
      update tokens t set verified_at = now() - p."agoMs" * interval '1 millisecond'
      from json_to_recordset(${JSON.stringify(proofs)}::text::json) as p(hash text, "agoMs" double precision)
      where t.token_hash = decode(p.hash, 'hex') and t.dead_at is null
        and t.verified_at < now() - (p."agoMs" + ${SAME_PROOF_MS}) * interval '1 millisecond'
    )
    update leases l set expires_at = now() + ${ttlMs}::double precision * interval '1 millisecond',
      polled_at = coalesce(now() - i."polledAgoMs" * interval '1 millisecond', l.polled_at)
    from json_to_recordset(${JSON.stringify(leases)}::text::json) as i(account bigint, epoch bigint, "polledAgoMs" double precision)
    where l.account = i.account and l.epoch = i.epoch and l.owner = ${owner}
    returning l.account`;
  return new Set(rows.map((row) => row.account));
}

/** Gives leases up, so that another process can take them at once. */
export async function releaseLeases(db: Db, owner: string, leases: readonly Lease[]): Promise<void> {
  await db`
    update leases l set expires_at = now()
    from json_to_recordset(${JSON.stringify(leases)}::text::json) as i(account bigint, epoch bigint)
    where l.account = i.account and l.epoch = i.epoch and l.owner = ${owner}`;
}

/** Whether that lease is still the owner's: not taken over, not expired, not deleted. */
export async function isLeaseHeld(db: Db, owner: string, lease: Lease): Promise<boolean> {
  const rows = await db`select 1 from leases where account = ${lease.account} and owner = ${owner} and epoch = ${lease.epoch} and expires_at > now()`;
  return rows.length > 0;
}

/** For how many more seconds any process holds a lease; null: none does. */
export async function anyLease(db: Db): Promise<number | null> {
  const [row] = await db<
    { left: number | null }[]
  >`select ceil(extract(epoch from max(expires_at) - now()))::int as left from leases where expires_at > now()`;
  return row?.left ?? null;
}
