/** An account is synced from scratch: its upstream `since` was lost (D26), or its homeserver was restored from a backup (T3). */

import type { Sql } from "../../store/db.ts";
import { writeTx } from "../../store/db.ts";
import type { AccountNo, DeviceNo } from "../../wire/ids.ts";
import { forgetSince, markRestored } from "../../store/ingest/reset.ts";

/** Why: lost (the homeserver does not know `since`), or restored (what was stored may not exist there). */
export type ResetCause = "lost" | "restored";

/**
 * Resets accounts.since and the since of `device`, which polls the rooms, and ends the account's sessions (R11): changes of device lists can
 * no longer be determined. What is stored stays; the next response is compared with it, and gaps are marked.
 * Restored: the since of all devices; what is stored is deleted, and the sessions end, once the next response is stored.
 */
export async function resetAccount(db: Sql, account: AccountNo, device: DeviceNo, cause: ResetCause = "lost"): Promise<void> {
  await writeTx(db, (tx) => (cause === "lost" ? forgetSince(tx, account, device) : markRestored(tx, account)));
}
