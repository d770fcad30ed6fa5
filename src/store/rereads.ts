/** The queue of what has to be read from the homeserver again: rooms and account data that an answer left incomplete. */

import type { AccountNo } from "../wire/ids.ts";
import type { Db, Tx } from "./db.ts";
import { type AccountToken, accountTokenColumns, lastVerified } from "./tokens.ts";

export type DueReread = AccountToken & {
  readonly account: AccountNo;
  readonly kind: "room" | "account_data" | "ban" | "withheld";
  /** Room id, type, or id of the ban (T5). `withheld`: the room's id (T2). */
  readonly name: string;
  /** Tries that have failed. */
  readonly tries: number;
};

/** Up to `limit` due entries of those accounts that have a live token. Longest due first. */
export async function dueRereads(db: Db, accounts: readonly AccountNo[], limit: number): Promise<DueReread[]> {
  if (accounts.length === 0) return [];
  return await db<DueReread[]>`
    select r.account, r.kind, r.name, r.tries, ${accountTokenColumns(db)}
    from rereads r
    join accounts a using (account)
    cross join lateral (${lastVerified(db)}) t
    where r.due_at <= now() and r.account = any(${[...accounts]}::bigint[]) and a.since is not null
    order by r.due_at limit ${limit}`;
}

/** It was read and stored, or does not exist any more: nothing of it remains set aside. */
export async function finishReread(tx: Tx, { account, kind, name }: Pick<DueReread, "account" | "kind" | "name">): Promise<void> {
  await Promise.all([
    tx`delete from rereads where account = ${account} and kind = ${kind} and name = ${name}`,
    tx`delete from poison where account = ${account} and kind = ${kind} and name = ${name}`,
  ]);
}

/** The account is complete once no room of a first sync is left to be read. True: it has just become complete. */
export async function completeAccount(db: Db, account: AccountNo): Promise<boolean> {
  const updated = await db`
    update accounts a set complete = true, joined_rooms = null
    where account = ${account} and not complete and since is not null
      and not exists (select from rereads r where r.account = a.account and r.cause = 'too_large')`;
  return updated.count > 0;
}

/** After so many tries the account is complete without that room of its first sync. */
const TRIES_OF_FIRST_SYNC = 3;

/** It failed, or was not stored in full: try again `ms` from now. */
export async function postponeReread(db: Db, { account, kind, name }: Pick<DueReread, "account" | "kind" | "name">, ms: number): Promise<void> {
  await db`
    update rereads set tries = tries + 1, cause = case when tries + 1 < ${TRIES_OF_FIRST_SYNC} then cause else 'set_aside' end, due_at = now() + ${ms}::double precision * interval '1 millisecond'
    where account = ${account} and kind = ${kind} and name = ${name}`;
}

/** The newest text that was set aside of it, compressed (gzip); null: none. */
export async function readSetAside(db: Db, { account, kind, name }: Pick<DueReread, "account" | "kind" | "name">): Promise<Buffer | null> {
  const [row] = await db<{ body: Buffer }[]>`
    select body from poison where account = ${account} and kind = ${kind} and name = ${name} order by id desc limit 1`;
  return row?.body ?? null;
}
