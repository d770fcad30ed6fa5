/** Resets an account's `since`, so that the homeserver sends everything again. */

import type { AccountNo, DeviceNo } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import { endSessions } from "../sessions.ts";

export async function forgetSince(tx: Tx, account: AccountNo, device: DeviceNo): Promise<void> {
  await tx`update accounts set since = null where account = ${account}`;
  await tx`update devices set since = null where device = ${device} and account = ${account}`;
  await endSessions(tx, account);
}
