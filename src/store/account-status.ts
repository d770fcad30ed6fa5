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
};

/** null: there is no such account (any more). */
export async function readAccountStatus(db: Db, account: AccountNo): Promise<AccountStatus | null> {
  const [row] = await db<AccountStatus[]>`
    select complete, created_at, (select count(*)::int from standings where account = ${account}) as rooms from accounts where account = ${account}`;
  return row ?? null;
}
