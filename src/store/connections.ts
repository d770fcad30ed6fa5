/**
 * Sliding sync connections: rows of `sessions`, and what their positions stand for. The writes that a client waits for are in
 * connection-writer.ts.
 */

import type { AccountNo, DeviceNo, Position, SessionNo } from "../wire/ids.ts";
import { type AccountHead, accountHeadColumns, accountHeadOf, type StoredAccountHead } from "./account-head.ts";
import { type Db, type Sql, untilThrough } from "./db.ts";
import { soundKeyCounts } from "./ephemeral.ts";
import { purgeToDevice } from "./to-device.ts";

/** What the evaluation of a request starts from: how far the account, the device and the connection are. */
export type ConnectionHead = AccountHead & {
  /** How many rooms the user has joined, while only some of them are stored; null: all are stored, or none. */
  readonly joinedRooms: number | null;
  /** The seq of the newest queued to-device message; 0: none is queued. */
  readonly queued: number;
  /**
   * JSON texts; null: neither a poll nor an upload of keys has reported any yet. Sending "none" instead would make clients upload keys that
   * exist already.
   */
  readonly keyCounts: { readonly oneTimeKeys: string; readonly fallbackKeys: string | null } | null;
  /** How far the device's connections have acknowledged its queue, and how long ago that was last recorded, ms; null: nothing yet. */
  readonly acknowledged: { readonly seq: number; readonly agoMs: number } | null;
  /** Time since the connection was last recorded as used, ms; 0 if the request names no connection. */
  readonly idleMs: number;
  /** What the connection is recorded as asking for. */
  readonly asks: Asks;
};

/** What the homeserver is asked for only while a connection of the account asks for it. */
export type Asks = { readonly presence: boolean; readonly threads: boolean };

/** A state of a connection. `mark` distinguishes it from another state of that number from before a crash of the database. */
export type StateRef = { readonly session: SessionNo; readonly state: number; readonly mark: number };

/** `at`: null if the connection is yet to be created. */
export type HeadAsk = { readonly device: DeviceNo; readonly at: StateRef | null };

/** headColumns, and `idle` if a connection is named. */
export type StoredHead = StoredAccountHead & {
  joined_rooms: number | null;
  queued: number | null;
  counted: boolean;
  one_time_keys: string;
  fallback_keys: string | null;
  acked: number | null;
  ack_ago: number | null;
  idle?: number | null;
  asks_presence?: boolean | null;
  asks_threads?: boolean | null;
};

/** One result for each ask. null: the device has no such connection or state (any more). */
export async function readConnectionHeads(db: Db, asks: readonly HeadAsk[]): Promise<(ConnectionHead | null)[]> {
  const rows = await db<(StoredHead & { n: number })[]>`
    select r.n::integer, ${headColumns(db)},
      (extract(epoch from clock_timestamp() - s.used_at) * 1000)::float8 as idle, s.presence as asks_presence, s.threads as asks_threads
    from unnest(
      ${asks.map((ask) => ask.device)}::bigint[], ${asks.map((ask) => ask.at?.session ?? -1)}::bigint[],
      ${asks.map((ask) => ask.at?.state ?? -1)}::integer[], ${asks.map((ask) => ask.at?.mark ?? 0)}::integer[]
    ) with ordinality as r(device, session, state, mark, n)
    join devices d on d.device = r.device
    join accounts a on a.account = d.account
    left join sessions q on q.device = d.device and q.kind = 'sliding'
    left join sessions s on s.session = r.session and s.device = r.device and s.kind = 'connection'
    left join connection_states c on c.session = s.session and c.state = r.state and c.mark = r.mark
    where r.session = -1 or c.state is not null`;
  const heads: (ConnectionHead | null)[] = asks.map(() => null);
  for (const row of rows) heads[row.n - 1] = headOf(row);
  return heads;
}

/** For a query that has accounts as `a`, devices as `d` and the device's `sliding` session, if there is one, as `q`. */
export function headColumns(db: Db) {
  return db`${accountHeadColumns(db)}, a.joined_rooms, d.since is not null or d.key_uploads > 0 as counted,
    d.one_time_keys, d.fallback_keys, (select max(m.seq) from to_device m where m.device = d.device) as queued,
    q.acked, (extract(epoch from clock_timestamp() - q.used_at) * 1000)::float8 as ack_ago`;
}

export function headOf(row: StoredHead): ConnectionHead {
  return {
    ...accountHeadOf(row),
    joinedRooms: row.joined_rooms,
    queued: row.queued ?? 0,
    keyCounts: row.counted ? keyCountsOf(row) : null,
    acknowledged: row.acked === null ? null : { seq: row.acked, agoMs: row.ack_ago ?? 0 },
    idleMs: row.idle ?? 0,
    asks: { presence: row.asks_presence ?? false, threads: row.asks_threads ?? false },
  };
}

function keyCountsOf(row: StoredHead): ConnectionHead["keyCounts"] {
  const { one_time_keys: oneTimeKeys, fallback_keys: fallbackKeys } = soundKeyCounts(row);
  return { oneTimeKeys, fallbackKeys };
}

/** Records that a connection is in use, and how far the account was in its last position. */
export async function touchConnection(db: Db, session: SessionNo, position: Position): Promise<void> {
  await db`update sessions set used_at = now(), position = ${position} where session = ${session}`;
}

/** Records what a connection asks for, if that has changed. */
export async function noteAsks(db: Db, session: SessionNo, before: Asks, { presence, threads }: Asks): Promise<void> {
  if (before.presence === presence && before.threads === threads) return;
  await db`update sessions set presence = ${presence}, threads = ${threads} where session = ${session}`;
}

/** A stored state: `body` JSON; with `base`, the change to that full state. */
export type StoredState = { readonly base: { readonly state: number; readonly body: string } | null; readonly body: string };

/** null: the state is gone. */
export async function findConnectionState(db: Db, { session, state, mark }: StateRef): Promise<StoredState | null> {
  const [row] = await db<{ body: string; base: number | null; base_body: string | null }[]>`
    select st.body, st.base, b.body as base_body
    from connection_states st left join connection_states b on b.session = st.session and b.state = st.base
    where st.session = ${session} and st.state = ${state} and st.mark = ${mark}`;
  if (!row) return null;
  if (row.base === null) return { base: null, body: row.body };
  return row.base_body === null ? null : { base: { state: row.base, body: row.base_body }, body: row.body };
}

/** Ends one connection: its positions become unknown. */
export async function endConnection(db: Db, session: SessionNo): Promise<void> {
  await db`delete from sessions where session = ${session} and kind = 'connection'`;
}

/**
 * All connections of a device take part in the purge as one reader (S2): their client has received everything up to `acked`. It counts as 0
 * if that is more than was ever queued: the client then has it from before our database was restored. Deletes what every reader has
 * received. That the connections are in use is recorded every `touchMs`.
 */
export async function acknowledgeSliding(
  sql: Sql,
  ref: { readonly account: AccountNo; readonly device: DeviceNo },
  acked: number,
  touchMs: number,
): Promise<void> {
  const [row] = await sql<{ freed: boolean }[]>`
    with before as (select acked from sessions where device = ${ref.device} and kind = 'sliding'),
    -- Of a device that is being deleted nothing is noted. The account before the device, as whoever deletes locks them.
    head as (select d.seq from accounts a join devices d using (account) where d.device = ${ref.device} for key share of a, d)
    insert into sessions (account, device, kind, takes_part, acked)
    select ${ref.account}, ${ref.device}, 'sliding', true, case when ${acked}::bigint <= head.seq then ${acked}::bigint else 0 end from head
    on conflict (device) where kind = 'sliding' do update
      set acked = greatest(sessions.acked, excluded.acked), used_at = now(), takes_part = true
      where excluded.acked > sessions.acked or sessions.used_at < now() - make_interval(secs => ${touchMs / 1000})
    returning acked > coalesce((select acked from before), 0) as freed`;
  if (row?.freed) await untilThrough(() => purgeToDevice(sql, ref.device));
}
