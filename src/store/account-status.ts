/** How far an account is. */

import type { AccountNo } from "../wire/ids.ts";
import type { Db } from "./db.ts";

export type AccountStatus = {
  /** The homeserver's first v2 answer is stored. */
  readonly complete: boolean;
  /** When it was first seen here. */
  readonly created_at: Date;
  /** Rooms of which something is stored, invites too. */
  readonly rooms: number;
  /** Rooms that are still to be read one by one, since the homeserver's answer was too large (N4). */
  readonly left: number;
};

/** null: there is no such account (any more). */
export async function readAccountStatus(db: Db, account: AccountNo): Promise<AccountStatus | null> {
  const [row] = await db<AccountStatus[]>`
    select complete, created_at, (select count(*)::int from standings where account = ${account}) as rooms,
      (select count(*)::int from rereads where account = ${account} and cause = 'too_large') as left
    from accounts where account = ${account}`;
  return row ?? null;
}
