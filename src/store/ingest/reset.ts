/** Resets an account's `since`, so that the homeserver sends everything again. */

import type { AccountNo, DeviceNo } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import { ROOM_TABLES } from "../forget.ts";
import { endSessions } from "../sessions.ts";
import { forgetFeed } from "./feed.ts";

/** What is stored stays, and the next answer is compared with it. */
export async function forgetSince(tx: Tx, account: AccountNo, device: DeviceNo): Promise<void> {
  // Polls are to ask for profiles from scratch, too.
  await tx`update accounts set since = null, threads_pos = null, profiles_polled = '[]' where account = ${account}`;
  await tx`update devices set since = null where device = ${device} and account = ${account}`;
  await endSessions(tx, account);
  await Promise.all(forgetFeed(tx, account));
}

/** Deletes everything of those accounts' rooms. The accounts are locked, and their new first sync is stored in the same transaction. */
export async function deleteRestored(tx: Tx, accounts: readonly AccountNo[]): Promise<void> {
  const tables = [...ROOM_TABLES, "presence", "profiles", "thread_subscriptions", "rereads", "poison", "unignored_users"];
  await Promise.all([
    ...tables.map((table) => tx`delete from ${tx(table)} where account = any(${[...accounts]}::bigint[])`),
    tx`update accounts set restored = false, threads_pos = null, threads_rest = null, profiles_polled = '[]', forgotten = forgotten + 1 where account = any(${[...accounts]}::bigint[])`,
  ]);
}
