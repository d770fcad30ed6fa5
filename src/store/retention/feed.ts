/** What feeds no longer need (S6): what every one of them has acknowledged, and what is too much for an account. */

import type { AccountNo, EventId } from "../../wire/ids.ts";
import type { Db, Tx } from "../db.ts";
import type { Deleted, SweptAccount } from "./account.ts";
import { deleteUnreferenced } from "./events.ts";
import { BATCH_ROWS } from "./step.ts";

/** A batch of what tokens at or above the horizon have been sent. */
export async function deleteFeed(tx: Tx, { account, horizon }: SweptAccount): Promise<Deleted> {
  return deleteRows(tx, account, tx`place <= ${horizon} and not held`);
}

/** Accounts that record a feed which no session has any more. */
export async function accountsWithoutFeed(db: Db): Promise<AccountNo[]> {
  const rows = await db<{ account: AccountNo }[]>`
    select account from accounts a where feed and not exists (select from sessions s where s.account = a.account and s.feed is not null)`;
  return rows.map((row) => row.account);
}

/** A batch of an account's feed; with the last one nothing is recorded any more. Nothing happens if a session has a feed by now. */
export async function endFeed(tx: Tx, account: AccountNo): Promise<Deleted> {
  // A session that begins a feed writes this row: it is seen below, or waits until the feed has ended.
  await tx`select from accounts where account = ${account} for no key update`;
  const sessions = await tx`select from sessions where account = ${account} and feed is not null limit 1`;
  if (sessions.count > 0) return { rows: 0, events: 0, more: false };
  const deleted = await deleteRows(tx, account, tx`true`);
  if (deleted.more) return deleted;
  await tx`delete from feed_gaps where account = ${account}`;
  await tx`update accounts set feed = false where account = ${account}`;
  return deleted;
}

async function deleteRows(tx: Tx, account: AccountNo, which: ReturnType<Tx>): Promise<Deleted> {
  const rows = await tx<{ event_id: EventId | null }[]>`
    delete from feed_events where ctid = any(array(
      select ctid from feed_events where account = ${account} and ${which} limit ${BATCH_ROWS}))
    returning event_id`;
  const ids = rows.flatMap((row) => row.event_id ?? []);
  return { rows: rows.length, events: await deleteUnreferenced(tx, ids), more: rows.length === BATCH_ROWS };
}

/** The largest event, bytes: whoever has fewer events than would fill the bound with these is not looked at. */
const LARGEST_EVENT = 65_536;

/** Accounts whose feed may have more than so many bytes. */
export async function accountsWithLargeFeed(db: Db, mostBytes: number): Promise<AccountNo[]> {
  const rows = await db<{ account: AccountNo }[]>`
    select account from accounts a where feed and exists (
      select from feed_events f where f.account = a.account order by place offset ${Math.floor(mostBytes / LARGEST_EVENT)}::bigint limit 1)`;
  return rows.map((row) => row.account);
}

/** Of what is deleted, so that it need not be done again at once. */
const LEFT = 0.9;

/**
 * Deletes the oldest events of a feed that has more than so many bytes, and leaves a gap in each of their rooms, after the first of its events there:
 * it says what is missing since when.
 */
export async function trimFeed(tx: Tx, account: AccountNo, mostBytes: number): Promise<Deleted> {
  await tx`select from accounts where account = ${account} for no key update`;
  const [cut] = await tx<{ place: number | null }[]>`
    select max(place) as place from (
      select place, sum(octet_length(e.body) + coalesce(octet_length(f.unsigned), 0)) over (order by place desc) as bytes,
        sum(octet_length(e.body) + coalesce(octet_length(f.unsigned), 0)) over () as all_bytes
      from feed_events f join events e using (event_id) where f.account = ${account}
    ) f where bytes > ${Math.floor(mostBytes * LEFT)}::bigint and all_bytes > ${mostBytes}::bigint`;
  if (!cut || cut.place === null) return { rows: 0, events: 0, more: false };
  const deleted = await tx<{ event_id: EventId | null }[]>`
    with old as (
      select place, row_number() over w as nth, last_value(place) over w as last, first_value(event_id) over w as first_event,
        first_value(gap) over w as first_gap
      from feed_events where account = ${account} and place <= ${cut.place} and not held
      window w as (partition by room_id order by place rows between unbounded preceding and unbounded following)
    ), gone as (
      select place, last, coalesce(first_event, first_gap::json ->> 'after') as after from old where nth > 1 or first_gap is not null
    ), turned as (
      update feed_events f set event_id = null, gap = json_build_object('after', g.after, 'prev_batch', null)::text, unsigned = null, age_ts = null,
        txn_id = null, txn_device = null
      from gone g where f.account = ${account} and f.place = g.place and g.place = g.last
    )
    delete from feed_events f using gone g where f.account = ${account} and f.place = g.place and g.place < g.last returning f.event_id`;
  const events = await deleteUnreferenced(
    tx,
    deleted.flatMap((row) => row.event_id ?? []),
  );
  return { rows: deleted.count, events, more: false };
}
