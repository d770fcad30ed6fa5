/** An event as an account sees it: the shared body, and beside it what is specific to the account. */

import type { PendingQuery, Row } from "postgres";
import { eventText } from "../wire/event.ts";
import type { AccountNo, DeviceNo, EventId, RoomId, UserId } from "../wire/ids.ts";
import type { Db } from "./db.ts";

export type EventRow = {
  readonly room_id: RoomId;
  readonly event_id: EventId;
  readonly type: string;
  readonly state_key: string | null;
  readonly sender: UserId;
  readonly body: string;
  readonly unsigned: string | null;
  readonly age_ts: number | null;
  /** origin_server_ts, ms: of rows of a timeline. */
  readonly ts?: number;
  readonly txn_id?: string | null;
  readonly txn_device?: DeviceNo | null;
};

/**
 * An expression: an event's body as the account's own v2 shows it (T6). For a query that has `events` as `e`. Own copies are looked for only if
 * the account has any, which one look-up tells.
 */
export function bodyOf(db: Db, account: AccountNo | PendingQuery<Row[]>) {
  return db`case when not e.pruned and exists (select from own_events x where x.account = ${account})
    then coalesce((select o.body from own_events o where o.account = ${account} and o.event_id = e.event_id), e.body) else e.body end`;
}

/** The client-format event, with `room_id` (R14); the transaction id only for the device that sent it. */
export function rowText(row: EventRow, device: DeviceNo, now: number): string {
  return textOf(row, row.room_id, device, now);
}

/**
 * The same without `room_id`, for places where the event is listed under its room's id (MSC4186, as in v2). `now` null: ages are left open,
 * see eventText.
 */
export function rowTextInRoom(row: EventRow, device: DeviceNo, now: number | null): string {
  return textOf(row, null, device, now);
}

function textOf(row: EventRow, room_id: RoomId | null, device: DeviceNo, now: number | null): string {
  const { body, unsigned, age_ts } = row;
  return eventText({ body, room_id, unsigned, age_ts, txn_id: row.txn_device === device ? (row.txn_id ?? null) : null }, now);
}
