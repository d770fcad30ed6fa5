/** Which events a device has sent, and under which transaction ids. */

import type { DeviceNo } from "../wire/ids.ts";
import type { Db, Tx } from "./db.ts";
import { BATCH_ROWS, before } from "./retention/step.ts";

/** By then every client has been told its own events, or has forgotten what it waited for. */
const KEPT_MS = 24 * 3_600_000;

/** Notes a sent event. The same again changes nothing, and nothing is noted for a device that is gone. */
export async function insertSentEvent(db: Db, device: DeviceNo, eventId: string, txnId: string): Promise<void> {
  await db`
    insert into sent_events (event_id, device, txn_id) select ${eventId}, device, ${txnId} from devices where device = ${device}
    on conflict do nothing`;
}

/** Of some events the transaction ids of those that a device has sent. */
export async function findTransactions(db: Db, device: DeviceNo, eventIds: readonly string[]): Promise<Map<string, string>> {
  if (eventIds.length === 0) return new Map();
  const rows = await db<{ event_id: string; txn_id: string }[]>`
    select event_id, txn_id from sent_events where device = ${device} and event_id = any(${[...eventIds]}::text[])`;
  return new Map(rows.map((row) => [row.event_id, row.txn_id]));
}

/** A batch of those that are older than a day. */
export async function deleteSentEvents(tx: Tx, at: Date): Promise<number> {
  const deleted = await tx`
    delete from sent_events where ctid = any(array(
      select ctid from sent_events where sent_at < ${before(at, KEPT_MS)} limit ${BATCH_ROWS}))`;
  return deleted.count;
}
