/**
 * Sliding sync connections: rows of `sessions`, and what their positions stand for. The writes that a client waits for are in
 * connection-writer.ts.
 */

import type { AccountNo, DeviceNo, Position, RoomId, SessionNo } from "../wire/ids.ts";
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
  /** The newest state that a request of the connection is recorded to have come with; 0: none. */
  readonly fromState: number;
  /** Rows of the account's log that ended up to here may be deleted. */
  readonly horizon: Position;
};

/** What the homeserver is asked for only while a connection of the account asks for it. */
export type Asks = { readonly presence: boolean; readonly threads: boolean };

/** A state of a connection. `mark` distinguishes it from another state of that number from before a crash of the database. */
export type StateRef = { readonly session: SessionNo; readonly state: number; readonly mark: number };

/** `at`: null if the connection is yet to be created. */
export type HeadAsk = { readonly device: DeviceNo; readonly at: StateRef | null };

/** headColumns, and the last two if a connection is named. */
export type StoredHead = StoredAccountHead & {
  joined_rooms: number | null;
  queued: number | null;
  counted: boolean;
  one_time_keys: string;
  fallback_keys: string | null;
  acked: number | null;
  ack_ago: number | null;
  horizon: Position;
  idle?: number | null;
  asks_presence?: boolean | null;
  asks_threads?: boolean | null;
  from_state?: number | null;
};

/** One result for each ask. null: the device has no such connection or state (any more). */
export async function readConnectionHeads(db: Db, asks: readonly HeadAsk[]): Promise<(ConnectionHead | null)[]> {
  const rows = await db<(StoredHead & { n: number })[]>`
    select r.n::integer, ${headColumns(db)},
      (extract(epoch from clock_timestamp() - s.used_at) * 1000)::float8 as idle, s.from_state, s.presence as asks_presence, s.threads as asks_threads
    from unnest(
      ${asks.map((ask) => ask.device)}::bigint[], ${asks.map((ask) => ask.at?.session ?? -1)}::bigint[],
      ${asks.map((ask) => ask.at?.state ?? -1)}::integer[], ${asks.map((ask) => ask.at?.mark ?? 0)}::integer[]
    ) with ordinality as r(device, session, state, mark, n)
    join devices d on d.device = r.device
    join accounts a on a.account = d.account
    left join sessions q on q.device = d.device and q.kind = 'sliding'
    left join sessions s on s.session = r.session and s.device = r.device and s.kind = 'connection'
    left join connection_states c on c.session = s.session and c.state = r.state and c.mark = r.mark and c.state >= s.first_state
    where r.session = -1 or c.state is not null`;
  const heads: (ConnectionHead | null)[] = asks.map(() => null);
  for (const row of rows) heads[row.n - 1] = headOf(row);
  return heads;
}

/** For a query that has accounts as `a`, devices as `d` and the device's `sliding` session, if there is one, as `q`. */
export function headColumns(db: Db) {
  return db`${accountHeadColumns(db)}, a.joined_rooms, d.since is not null or d.key_uploads > 0 as counted,
    d.one_time_keys, d.fallback_keys, (select max(m.seq) from to_device m where m.device = d.device) as queued,
    q.acked, (extract(epoch from clock_timestamp() - q.used_at) * 1000)::float8 as ack_ago, a.horizon`;
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
    fromState: row.from_state ?? 0,
    horizon: row.horizon,
  };
}

function keyCountsOf(row: StoredHead): ConnectionHead["keyCounts"] {
  const { one_time_keys: oneTimeKeys, fallback_keys: fallbackKeys } = soundKeyCounts(row);
  return { oneTimeKeys, fallbackKeys };
}

/** Records that a connection is in use, and how far the account was in its last position. It matters to nobody if a crash takes that back. */
export async function touchConnection(db: Db, { session, state }: Omit<StateRef, "mark">, position: Position): Promise<void> {
  await db`
    with touched as (
      update sessions set used_at = now(), position = ${position}, from_state = greatest(from_state, ${state})
      where session = ${session} returning session)
    select set_config('synchronous_commit', 'off', true) from touched`;
}

/** Records what a connection asks for, if that has changed. */
export async function noteAsks(db: Db, session: SessionNo, before: Asks, { presence, threads }: Asks): Promise<void> {
  if (before.presence === presence && before.threads === threads) return;
  await db`update sessions set presence = ${presence}, threads = ${threads} where session = ${session}`;
}

/** A state in full or as a change: JSON; in full also as bytes in which rooms are digests (folded-state.ts), with the rooms of the account. */
export type StoredBody = string | FoldedBody;
export type FoldedBody = { readonly bytes: Buffer; readonly rooms: readonly RoomId[] };

/** A stored state: in full, or as the change to a full one; null: it is the same. */
export type StoredState =
  | { readonly base: null; readonly body: StoredBody }
  | { readonly base: { readonly state: number; readonly body: StoredBody }; readonly body: string | null };

/** null: the state is gone. */
export async function findConnectionState(db: Db, account: AccountNo, { session, state, mark }: StateRef): Promise<StoredState | null> {
  const [row] = await db<StateRecord[]>`
    select ${stateColumns(db)}
    from connection_states st left join connection_states b on b.session = st.session and b.state = st.base
    where st.session = ${session} and st.state = ${state} and st.mark = ${mark}`;
  return row ? storedOf(row, await roomsFor(db, account, [row])) : null;
}

/** States of a connection, oldest first, and which one is the newest; null: there are none. */
export type ConnectionStates = { readonly states: readonly StoredState[]; readonly newest: StateRef | null };

/** The states of a connection from a number on. */
export async function readConnectionStates(db: Db, account: AccountNo, session: SessionNo, from: number): Promise<ConnectionStates> {
  const rows = await db<(StateRecord & StateRef)[]>`
    select st.session, st.state, st.mark, ${stateColumns(db)}
    from sessions s join connection_states st using (session)
    left join connection_states b on b.session = st.session and b.state = st.base
    where s.session = ${session} and st.state >= greatest(s.first_state, ${from}) order by st.state`;
  const rooms = await roomsFor(db, account, rows);
  const newest = rows.at(-1);
  return {
    states: rows.flatMap((row) => storedOf(row, rooms) ?? []),
    newest: newest ? { session, state: newest.state, mark: newest.mark } : null,
  };
}

/** Whether a connection had a state that is deleted since, as one that the client had left behind. */
export async function hadConnectionState(db: Db, { session, state }: StateRef): Promise<boolean> {
  const rows = await db`
    select from sessions s where session = ${session} and ${state} between first_state and s.state
      and not exists (select from connection_states c where c.session = s.session and c.state = ${state})`;
  return rows.length > 0;
}

type StateRecord = { base: number | null; body: string | null; folded: Buffer | null; base_body: string | null; base_folded: Buffer | null };

/** For a query that has a state as `st`, and its base, if there is one, as `b`. */
function stateColumns(db: Db) {
  return db`st.base, st.body, st.folded, b.body as base_body, b.folded as base_folded`;
}

/** The account's rooms, if they are needed to read these states. */
async function roomsFor(db: Db, account: AccountNo, rows: readonly StateRecord[]): Promise<RoomId[]> {
  if (!rows.some((row) => row.folded ?? row.base_folded)) return [];
  return (await db<{ room_id: RoomId }[]>`select room_id from standings where account = ${account}`).map((row) => row.room_id);
}

function storedOf(row: StateRecord, rooms: readonly RoomId[]): StoredState | null {
  const fullOf = (body: string | null, bytes: Buffer | null): StoredBody | null => (bytes ? { bytes, rooms } : body);
  const full = row.base === null ? fullOf(row.body, row.folded) : fullOf(row.base_body, row.base_folded);
  if (full === null) return null;
  return row.base === null ? { base: null, body: full } : { base: { state: row.base, body: full }, body: row.body };
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
