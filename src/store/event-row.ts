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
  /** How long it is sticky (MSC4354), ms since the epoch: of rows of a timeline, and of sticky events. */
  readonly sticky_until?: number | null;
  /** What the homeserver bundled with it, and the position up to which that is right: of rows of a timeline. It is not sent: `bundle` is. */
  readonly relations?: string | null;
  readonly relations_ord?: number | null;
  /** The event that it relates to: of rows of a timeline. */
  readonly relates_to?: EventId | null;
  /** What is sent of the events that relate to it (T7). Default: nothing. */
  readonly bundle?: Bundle;
};

/** unsigned["m.relations"], at least one part of it. */
export type Bundle = {
  /** The newest edit. */
  readonly replace: EventRow | null;
  readonly thread: { readonly latest: EventRow; readonly count: number; readonly participated: boolean } | null;
  /** Ids of the events that refer to it, oldest first. */
  readonly references: readonly string[];
  /** Parts as the homeserver gave them: relation type and JSON. */
  readonly given: readonly (readonly [string, string])[];
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
  return textOf(row, { isListed: false, device, now });
}

/**
 * The same without `room_id`, for places where the event is listed under its room's id (MSC4186, as in v2). `now` null: ages are left open,
 * see eventText.
 */
export function rowTextInRoom(row: EventRow, device: DeviceNo, now: number | null): string {
  return textOf(row, { isListed: true, device, now });
}

/** Where the ages in the row's text count from, in their order. */
export function agesIn({ age_ts, bundle }: EventRow): number[] {
  const bundled = [bundle?.replace, bundle?.thread?.latest].flatMap((row) => (row ? agesIn(row) : []));
  return age_ts === null ? bundled : [age_ts, ...bundled];
}

type Form = { readonly isListed: boolean; readonly device: DeviceNo; readonly now: number | null };

function textOf(row: EventRow, form: Form): string {
  const { body, unsigned, age_ts, bundle } = row;
  const txn_id = row.txn_device === form.device ? (row.txn_id ?? null) : null;
  const relations = bundle ? bundleText(bundle, form) : null;
  return eventText(
    { body, room_id: form.isListed ? null : row.room_id, unsigned, age_ts, txn_id, sticky_until: row.sticky_until, relations },
    form.now,
  );
}

function bundleText({ replace, thread, references, given }: Bundle, form: Form): string {
  const parts = given.map(([type, text]) => `${JSON.stringify(type)}:${text}`);
  if (replace) parts.push(`"m.replace":${textOf(replace, form)}`);
  if (thread) {
    const { latest, count, participated } = thread;
    parts.push(`"m.thread":{"latest_event":${textOf(latest, form)},"count":${count},"current_user_participated":${participated}}`);
  }
  if (references.length > 0) parts.push(`"m.reference":{"chunk":${JSON.stringify(references.map((event_id) => ({ event_id })))}}`);
  return `{${parts.join(",")}}`;
}
