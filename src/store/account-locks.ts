/** Accounts that the homeserver has locked (T17): it refuses all their tokens for now, and everything that is stored of them stays. */

import type { AccountNo } from "../wire/ids.ts";
import type { Db } from "./db.ts";

/** The homeserver has just answered with `body`, see `accountLocked`. True: the account was not locked before. */
export async function lockAccount(db: Db, account: AccountNo, body: string): Promise<boolean> {
  const [row] = await db<{ isNew: boolean }[]>`
    update accounts a set locked = ${body}, locked_at = clock_timestamp()
    from (select account, locked from accounts where account = ${account} for update) before
    where a.account = before.account returning before.locked is null as "isNew"`;
  return row?.isNew ?? false;
}

/** The homeserver has accepted a token of the account in a request that began `agoMs` milliseconds ago. */
export async function unlockAccount(db: Db, account: AccountNo, agoMs: number): Promise<void> {
  await db`
    update accounts set locked = null, locked_at = null
    where account = ${account} and locked_at <= clock_timestamp() - ${agoMs}::double precision * interval '1 millisecond'`;
}
