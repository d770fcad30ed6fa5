/** Where a fetch from the homeserver begins. */

import type { AccountNo, DeviceNo, Position, RoomId, UserId } from "../wire/ids.ts";
import type { Db } from "./db.ts";
import type { SealedToken } from "./tokens.ts";

/** The account's position and the upstream token that stands for it, read at one moment; null: nothing was synced yet. */
export async function syncedUpTo(db: Db, account: AccountNo): Promise<{ position: Position; since: string } | null> {
  const [row] = await db<{ position: Position; since: string | null }[]>`select position, since from accounts where account = ${account}`;
  return row && row.since !== null ? { position: row.position, since: row.since } : null;
}

/** An access token of the account that the homeserver accepts, as far as is known: the most recently verified one. */
export async function liveToken(db: Db, account: AccountNo): Promise<SealedToken | null> {
  const [row] = await db<SealedToken[]>`
    select token_hash as "tokenHash", ciphertext from tokens where account = ${account} and dead_at is null order by verified_at desc limit 1`;
  return row ?? null;
}

export type AccountToken = SealedToken & { readonly device: DeviceNo; readonly userId: UserId };

/** The same with its device and the account's user; null also if nothing was synced yet. */
export async function accountToken(db: Db, account: AccountNo): Promise<AccountToken | null> {
  const [row] = await db<AccountToken[]>`
    select t.token_hash as "tokenHash", t.ciphertext, t.device, a.user_id as "userId" from tokens t join accounts a using (account)
    where t.account = ${account} and t.dead_at is null and a.since is not null order by t.verified_at desc limit 1`;
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
