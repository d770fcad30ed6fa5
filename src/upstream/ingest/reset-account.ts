/** An account whose upstream `since` was lost (D26) is synced from scratch. */

import type { Sql } from "../../store/db.ts";
import { writeTx } from "../../store/db.ts";
import type { AccountNo, DeviceNo } from "../../wire/ids.ts";
import { forgetSince } from "../../store/ingest/reset.ts";

/**
 * Resets accounts.since and the since of `device`, which polls the rooms, and ends the account's sessions (R11): changes of device lists can
 * no longer be determined. What is stored stays; the next response is compared with it, and gaps are marked.
 */
export async function resetAccount(db: Sql, account: AccountNo, device: DeviceNo): Promise<void> {
  await writeTx(db, (tx) => forgetSince(tx, account, device));
}
