/** Recording events for feeds (S6), and the gaps that are fetched before they are sent. The account is locked. */

import type { AccountNo, DeviceNo, EventId, RoomId } from "../../wire/ids.ts";
import type { Db, Tx } from "../db.ts";
import type { FeedGap } from "../feed-events.ts";
import { type AccountToken, accountTokenColumns, lastVerified } from "../tokens.ts";
import type { FeedEventWrite, FeedGapWrite } from "./row-types.ts";
import type { Statement } from "./statement.ts";
import { some } from "./statement.ts";

type FeedBatch = {
  readonly account: AccountNo;
  /** After all events of the batch. */
  readonly since: string | null;
  readonly writes: { readonly feedEvents: readonly FeedEventWrite[]; readonly feedGaps: readonly FeedGapWrite[] };
};

/** Records rows of the timeline, which are written before. From an open gap of their room on, events are held. */
export function writeFeed(tx: Tx, batches: readonly FeedBatch[]): Statement[] {
  const gaps = batches.flatMap(({ account, since, writes }) =>
    writes.feedGaps.map((gap) => ({ account, ...gap, prev_batch: gap.prev_batch ?? since ?? "" })),
  );
  const events = batches.flatMap(({ account, writes }) => writes.feedEvents.map((event) => ({ account, ...event })));
  return [
    ...some(
      gaps,
      (rows) => tx`
      insert into feed_gaps (account, room_id, ord, after_event, from_join, prev_batch)
      select r.account, r.room_id, r.ord, case when not r.from_join then (
          select t.event_id from timeline t where t.account = r.account and t.room_id = r.room_id and t.ord < r.ord order by t.ord desc limit 1) end,
        r.from_join, r.prev_batch
      from json_to_recordset(${rows}::text::json) r (account bigint, room_id text, ord bigint, from_join boolean, prev_batch text)`,
    ),
    ...some(
      events,
      (rows) => tx`
      insert into feed_events (account, place, room_id, event_id, unsigned, age_ts, txn_id, txn_device, held)
      select t.account, t.ord, t.room_id, t.event_id, t.unsigned, t.age_ts, t.txn_id, t.txn_device,
        exists (select from feed_gaps g where g.account = t.account and g.room_id = t.room_id)
      from json_to_recordset(${rows}::text::json) r (account bigint, ord bigint) join timeline t on t.account = r.account and t.ord = r.ord`,
    ),
  ];
}

/** A gap that is being fetched: see sql/0032_feed.sql. */
export type OpenGap = {
  readonly account: AccountNo;
  readonly room_id: RoomId;
  readonly ord: number;
  readonly after_event: EventId | null;
  readonly from_join: boolean;
  readonly prev_batch: string;
};

/** `leftMs`: until it is sent as a gap. */
export type DueGap = OpenGap & { readonly leftMs: number; readonly token: AccountToken | null };

/** Accounts with an open gap: few, and usually none. */
export async function accountsWithGaps(db: Db): Promise<AccountNo[]> {
  return (await db<{ account: AccountNo }[]>`select distinct account from feed_gaps`).map((row) => row.account);
}

/** The first open gap of each room of those accounts. */
export async function dueGaps(db: Db, accounts: readonly AccountNo[], mostMs: number): Promise<DueGap[]> {
  if (accounts.length === 0) return [];
  const rows = await db<(OpenGap & { leftMs: number } & (AccountToken | { readonly ciphertext: null }))[]>`
    select g.*, ${mostMs}::float8 - (extract(epoch from clock_timestamp() - g.opened_at) * 1000)::float8 as "leftMs", t.*
    from (
      select distinct on (account, room_id) account, room_id, ord, after_event, from_join, prev_batch, opened_at
      from feed_gaps where account = any(${[...accounts]}::bigint[]) order by account, room_id, ord
    ) g
    left join lateral (
      select ${accountTokenColumns(db)} from accounts a cross join lateral (${lastVerified(db)}) t where a.account = g.account) t on true`;
  return rows.map((row) => ({ ...row, token: row.ciphertext === null ? null : row }));
}

/**
 * Where an event of a room is: `before` a gap, in the stretch without a gap that leads up to it (`joined`), or `after` it. Others are missing, or older
 * than what is stored.
 */
export type GapSide = "before" | "joined" | "after";

/** On which side of the gap those of the events are that the account has. */
export async function sidesOf(db: Db, { account, room_id, ord, after_event }: OpenGap, ids: readonly EventId[]): Promise<Map<EventId, GapSide>> {
  const list = [...ids];
  const rows = await db<{ event_id: EventId; side: GapSide }[]>`
    with start as (
      select coalesce(max(ord), 0) as ord from timeline where account = ${account} and room_id = ${room_id} and gap and ord < ${ord})
    select event_id, case when event_id = ${after_event} or (ord >= (select ord from start) and ord < ${ord}) then 'joined'
      when ord < ${ord} then 'before' else 'after' end as side
    from timeline where event_id = any(${list}::text[]) and account = ${account} and room_id = ${room_id}
    union all
    select event_id, case when place < ${ord} then 'before' else 'after' end
    from feed_events where event_id = any(${list}::text[]) and account = ${account} and room_id = ${room_id}
      and not exists (select from timeline t where t.event_id = feed_events.event_id and t.account = ${account})`;
  return new Map(rows.map((row) => [row.event_id, row.side]));
}

/** Whether the gap is still open, and the first of its room. */
export async function isOpen(tx: Tx, { account, room_id, ord }: OpenGap): Promise<boolean> {
  const [row] = await tx<{ ord: number }[]>`
    select ord from feed_gaps where account = ${account} and room_id = ${room_id} order by ord limit 1`;
  return row?.ord === ord;
}

/** The held events after the gap, up to the room's next gap. */
export async function heldAfter(tx: Tx, { account, room_id, ord }: OpenGap): Promise<{ place: number; event_id: EventId }[]> {
  return await tx<{ place: number; event_id: EventId }[]>`
    select place, event_id from feed_events
    where account = ${account} and room_id = ${room_id} and held and place >= ${ord} and place < coalesce((
      select min(ord) from feed_gaps where account = ${account} and room_id = ${room_id} and ord > ${ord}), ${Number.MAX_SAFE_INTEGER}::bigint)
    order by place`;
}

/** An event that was fetched, or a gap. */
export type FeedWrite = {
  readonly place: number;
  readonly event_id: EventId | null;
  readonly gap: FeedGap | null;
  readonly unsigned: string | null;
  readonly age_ts: number | null;
  readonly txn_id: string | null;
  /** With `txn_id`. */
  readonly txn_device: DeviceNo | null;
};

/** The account is synced from scratch (D26): nothing of before is sent by the feeds that begin after it. */
export function forgetFeed(tx: Tx, account: AccountNo): Statement[] {
  return [tx`delete from feed_events where account = ${account}`, tx`delete from feed_gaps where account = ${account}`];
}

/** Closes a gap: what was fetched, or a gap to be sent, and then the events that it held, at new places up to the account's new position. */
export function closeGap(
  tx: Tx,
  { account, room_id, ord }: OpenGap,
  rows: readonly FeedWrite[],
  held: readonly { readonly from: number; readonly place: number }[],
  position: number,
): Statement[] {
  return [
    ...some(
      rows.map((row) => ({ ...row, gap: row.gap && JSON.stringify(row.gap) })),
      (json) => tx`
      insert into feed_events (account, place, room_id, event_id, gap, unsigned, age_ts, txn_id, txn_device)
      select ${account}, place, ${room_id}, event_id, gap, unsigned, age_ts, txn_id, txn_device
      from json_to_recordset(${json}::text::json) r (
        place bigint, event_id text, gap text, unsigned text, age_ts bigint, txn_id text, txn_device bigint)`,
    ),
    ...some(
      held,
      (json) => tx`
      update feed_events f set place = r.place, held = false
      from json_to_recordset(${json}::text::json) r ("from" bigint, place bigint) where f.account = ${account} and f.place = r."from"`,
    ),
    tx`delete from feed_gaps where account = ${account} and room_id = ${room_id} and ord = ${ord}`,
    tx`update accounts set position = ${position} where account = ${account}`,
  ];
}
