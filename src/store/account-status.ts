/** How far syncing an account has come. */

import type { AccountNo } from "../wire/ids.ts";
import type { Db } from "./db.ts";

export type AccountStatus = {
  /** The homeserver's first v2 response is stored. */
  readonly complete: boolean;
  /** When the account was first seen here. */
  readonly created_at: Date;
  /** Rooms of which something is stored, invites included. */
  readonly rooms: number;
  /** Rooms that are still to be read one by one, because the homeserver's answer was too large (N4). */
  readonly left: number;
  /** How its polls fail, and since when; null: they do not fail. */
  readonly trouble: { readonly reason: string; readonly since: Date } | null;
};

/** null: there is no such account (any more). */
export async function readAccountStatus(db: Db, account: AccountNo): Promise<AccountStatus | null> {
  const [row] = await db<(Omit<AccountStatus, "trouble"> & { reason: string | null; first_at: Date })[]>`
    select complete, created_at, (select count(*)::int from standings where account = ${account}) as rooms,
      (select count(*)::int from rereads where account = ${account} and cause = 'too_large') as left, p.reason, p.first_at
    from accounts a
    left join leases l using (account)
    left join poll_troubles p on p.account = a.account and (l.polled_at is null or p.last_at > l.polled_at)
    where a.account = ${account}`;
  if (!row) return null;
  const { reason, first_at: since, ...status } = row;
  return { ...status, trouble: reason === null ? null : { reason, since } };
}
