/** Where a fetch from the homeserver begins. */

import type { AccountNo, Position, RoomId } from "../wire/ids.ts";
import type { Db } from "./db.ts";
import { type AccountToken, accountTokenColumns, lastVerified } from "./tokens.ts";

/** The account's position and the upstream token that stands for it, read at one moment; null: nothing was synced yet. */
export async function syncedUpTo(db: Db, account: AccountNo): Promise<{ position: Position; since: string } | null> {
  const [row] = await db<{ position: Position; since: string | null }[]>`select position, since from accounts where account = ${account}`;
  return row && row.since !== null ? { position: row.position, since: row.since } : null;
}

/** An access token of the account that the homeserver accepts, as far as is known; null: there is none. */
export async function liveToken(db: Db, account: AccountNo): Promise<AccountToken | null> {
  const [row] = await db<AccountToken[]>`
    select ${accountTokenColumns(db)} from accounts a cross join lateral (${lastVerified(db)}) t where a.account = ${account}`;
  return row ?? null;
}

/** The same of an account that was synced. */
export async function syncedToken(db: Db, account: AccountNo): Promise<AccountToken | null> {
  const [row] = await db<AccountToken[]>`
    select ${accountTokenColumns(db)} from accounts a cross join lateral (${lastVerified(db)}) t where a.account = ${account} and a.since is not null`;
  return row ?? null;
}

/** The upstream token right before the oldest stored event of a room; null: none is known, or there is nothing older. */
export async function oldestToken(db: Db, account: AccountNo, roomId: RoomId): Promise<string | null> {
  const [chunk] = await db<{ prev_batch: string | null }[]>`
    select prev_batch from older_chunks where account = ${account} and room_id = ${roomId} order by idx limit 1`;
  if (chunk) return chunk.prev_batch;
  const [row] = await db<{ prev_batch: string | null }[]>`
    select prev_batch from timeline where account = ${account} and room_id = ${roomId} order by ord limit 1`;
  return row?.prev_batch ?? null;
}
