/** Where an event is located in what an account has of a room's history, for our own pagination tokens (T20). */

import type { PendingQuery, Row } from "postgres";
import type { AccountNo, EventId, RoomId } from "../wire/ids.ts";
import { indexKey } from "../wire/index-key.ts";
import type { Db } from "./db.ts";

/** An event that is stored for the account: in the room's timeline (`ord`), or in fetched history before it (`idx`). */
export type StoredEventPoint = {
  readonly ord: number | null;
  readonly idx: number | null;
  /**
   * The event and all before it came in the order in which the homeserver received them. False: that is not known, because a first answer
   * and one after a gap may be ordered otherwise.
   */
  readonly streamed: boolean;
  /** The nearest upstream token at or before the point right before the event; null: none is stored. */
  readonly earlier: string | null;
};

type Fragment = PendingQuery<Row[]>;

/** For this long after a client of an account read history through this server, its next requests for history are expected here too. */
const PAGES_HERE_DAYS = 30;

/** A column: whether history of that account's rooms was read through this server lately. For a query that has accounts as `a`. */
export function pagesHere(db: Db) {
  return db`(a.history_at > now() - ${PAGES_HERE_DAYS}::int * interval '1 day') is true as pages_here`;
}

/** Records that a client of the account has just read a room's history through this server. */
export async function notePaging(db: Db, account: AccountNo): Promise<void> {
  await db`update accounts set history_at = now() where account = ${account}`;
}

/** The accounts whose clients were seen in that time, and those of them whose history was read through this server. */
export async function readHistoryUse(db: Db): Promise<{ readonly used: number; readonly paging: number }> {
  const [row] = await db<{ used: number; paging: number }[]>`
    select count(*)::integer as used, count(*) filter (where a.history_at > now() - ${PAGES_HERE_DAYS}::int * interval '1 day')::integer as paging
    from accounts a where a.seen_at > now() - ${PAGES_HERE_DAYS}::int * interval '1 day'`;
  return row ?? { used: 0, paging: 0 };
}

/**
 * An expression: false if the timeline's order at `ord` may differ from that in which the homeserver received the events (see StoredEventPoint),
 * or is not known.
 */
export function streamedAt(db: Db, account: AccountNo, room: Fragment, ord: Fragment) {
  return db`coalesce((
    select not p.gap and exists (select from timeline x where x.account = ${account} and x.room_id = ${room} and x.ord < p.ord)
    from timeline p where p.account = ${account} and p.room_id = ${room} and p.ord <= ${ord} and (p.gap or p.prev_batch is not null)
    order by p.ord desc limit 1), false)`;
}

/** null: the event is not stored for the account in this room (any more). */
export async function pointOf(db: Db, account: AccountNo, room: RoomId, event: EventId): Promise<StoredEventPoint | null> {
  const [row] = await db<StoredEventPoint[]>`
    select t.ord, null::integer as idx, ${streamedAt(db, account, db`t.room_id`, db`t.ord`)} as streamed,
      (select p.prev_batch from timeline p
       where p.account = ${account} and p.room_id = ${room} and p.ord <= t.ord and p.prev_batch is not null
       order by p.ord desc limit 1) as earlier
    from timeline t where t.account = ${account} and t.room_id = ${room} and t.event_id = ${event}
    union all
    select null, o.idx, false, (select c.prev_batch from older_chunks c
       where c.account = ${account} and c.room_id = ${room} and c.idx <= o.idx order by c.idx desc limit 1)
    from older o where o.account = ${account} and o.room_id = ${room} and o.event_id = ${event}
    limit 1`;
  return row ?? null;
}

/**
 * Which of some events are the one at `point` or newer, in the order in which the account got them. `point` null: the event is no longer
 * stored; then everything that is still stored of the room is newer, because the oldest is deleted first.
 */
export async function atOrAfter(
  db: Db,
  account: AccountNo,
  room: RoomId,
  point: StoredEventPoint | null,
  ids: readonly string[],
): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const named = new Map(ids.map((id) => [indexKey(id), id]));
  const list = [...named.keys()];
  const [ord, idx] = [point?.ord ?? 0, point === null || point.ord !== null ? null : point.idx];
  const rows = await db<{ event_id: string }[]>`
    select event_id from timeline where event_id = any(${list}::text[]) and account = ${account} and room_id = ${room} and ord >= ${ord}
    union all
    select event_id from older where event_id = any(${list}::text[]) and account = ${account} and room_id = ${room} and idx >= ${idx}::integer`;
  return new Set(rows.map((row) => named.get(row.event_id) ?? row.event_id));
}
