/** Which events a device has sent, and under which transaction ids. */

import type { DeviceNo, RoomId, UserId } from "../wire/ids.ts";
import type { Db, Tx } from "./db.ts";
import type { EventRow } from "./event-row.ts";
import { BATCH_ROWS, before } from "./retention/step.ts";

/** By then every client has been sent its own events, or has forgotten what it waited for. */
const STORED_MS = 24 * 3_600_000;

/** Records a sent event. Repeating it changes nothing; for a device that is gone nothing is recorded. */
export async function insertSentEvent(db: Db, device: DeviceNo, eventId: string, txnId: string): Promise<void> {
  await db`
    insert into sent_events (event_id, device, txn_id) select ${eventId}, device, ${txnId} from devices where device = ${device} for key share
    on conflict do nothing`;
}

/** The device and user that the answer with the event is for. */
type AnsweredDevice = { readonly device: DeviceNo; readonly userId: UserId };

/**
 * Timelines in which the device's own events have its transaction ids, also if another device's poller brought them (T15), for both sync v3
 * and sliding sync. Call Sends.settled before: the answer to a send may still be under way.
 */
export async function withTransactions<Timeline extends { readonly events: readonly EventRow[] }>(
  db: Db,
  { device, userId }: AnsweredDevice,
  timelines: ReadonlyMap<RoomId, Timeline>,
): Promise<Map<RoomId, Timeline>> {
  const lacks = (row: EventRow) => row.sender === userId && (row.txn_device !== device || !row.txn_id);
  const ids = [...timelines.values()].flatMap((timeline) => timeline.events.filter(lacks).map((row) => row.event_id));
  const sent = await findTransactions(db, device, ids);
  if (sent.size === 0) return new Map(timelines);
  const completed = (row: EventRow) => {
    const txn_id = sent.get(row.event_id);
    return txn_id === undefined ? row : { ...row, txn_id, txn_device: device };
  };
  return new Map([...timelines].map(([roomId, timeline]) => [roomId, { ...timeline, events: timeline.events.map(completed) }]));
}

/** The transaction ids of those of the events that a device has sent. */
async function findTransactions(db: Db, device: DeviceNo, eventIds: readonly string[]): Promise<Map<string, string>> {
  if (eventIds.length === 0) return new Map();
  const rows = await db<{ event_id: string; txn_id: string }[]>`
    select event_id, txn_id from sent_events where device = ${device} and event_id = any(${[...eventIds]}::text[])`;
  return new Map(rows.map((row) => [row.event_id, row.txn_id]));
}

/** Deletes a batch of those older than a day. */
export async function deleteSentEvents(tx: Tx, at: Date): Promise<number> {
  const deleted = await tx`
    delete from sent_events where ctid = any(array(
      select ctid from sent_events where sent_at < ${before(at, STORED_MS)} limit ${BATCH_ROWS}))`;
  return deleted.count;
}
