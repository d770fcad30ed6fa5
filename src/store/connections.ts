/** Sliding sync connections: rows of `sessions`, and what their positions stand for. */

import type { AccountNo, DeviceNo, Position, SessionNo, UserId } from "../wire/ids.ts";
import { type Db, type Sql, untilThrough, writeTx } from "./db.ts";
import { purgeToDevice } from "./to-device.ts";

export type NewConnection = { readonly account: AccountNo; readonly device: DeviceNo; readonly connId: string };

/**
 * A new connection in place of the device's earlier one of that `conn_id`. At most `most` a device: the longest idle make room.
 * `replaced`: those that are gone.
 */
export async function createConnection(
  sql: Sql,
  { account, device, connId }: NewConnection,
  most: number,
): Promise<{ readonly session: SessionNo; readonly replaced: readonly SessionNo[] }> {
  return writeTx(sql, async (tx) => {
    // One at a time per device, so that two together neither pass the bound nor meet at the unique index.
    const [, replaced, [row]] = await Promise.all([
      tx`select from devices where device = ${device} for no key update`,
      tx<{ session: SessionNo }[]>`
        delete from sessions where session in (
          select session from sessions where device = ${device} and kind = 'connection' and conn_id <> ${connId}
          order by used_at desc, session desc offset ${most - 1})
        or (device = ${device} and kind = 'connection' and conn_id = ${connId})
        returning session`,
      tx<{ session: SessionNo }[]>`
        insert into sessions (account, device, kind, conn_id) values (${account}, ${device}, 'connection', ${connId}) returning session`,
    ]);
    if (!row) throw new Error("no row was returned");
    return { session: row.session, replaced: replaced.map((one) => one.session) };
  });
}

/** What an evaluation begins with: how far the account and the device are. */
export type ConnectionHead = {
  readonly userId: UserId;
  readonly position: Position;
  readonly complete: boolean;
  readonly ignored: readonly UserId[];
  /** The newest upstream token; "" before the first. */
  readonly upstreamSince: string;
  /** devices.seq now. */
  readonly deviceSeq: number;
  /** How often a room was forgotten. */
  readonly forgotten: number;
  /** Since the connection was last noted as used, ms. */
  readonly idleMs: number;
};

/** null: the device has no such connection (any more). */
export async function readConnectionHead(db: Db, device: DeviceNo, session: SessionNo): Promise<ConnectionHead | null> {
  const [row] = await db<
    {
      user_id: UserId;
      position: Position;
      complete: boolean;
      ignored: string;
      since: string | null;
      seq: number;
      forgotten: number;
      idle: number;
    }[]
  >`
    select a.user_id, a.position, a.complete, a.ignored, a.since, d.seq, a.forgotten,
      (extract(epoch from clock_timestamp() - s.used_at) * 1000)::float8 as idle
    from sessions s join accounts a using (account) join devices d using (device)
    where s.session = ${session} and s.device = ${device} and s.kind = 'connection'`;
  if (!row) return null;
  return {
    userId: row.user_id,
    position: row.position,
    complete: row.complete,
    ignored: JSON.parse(row.ignored) as UserId[],
    upstreamSince: row.since ?? "",
    deviceSeq: row.seq,
    forgotten: row.forgotten,
    idleMs: row.idle,
  };
}

/** Notes that a connection is in use, and how far the account was in its last position. */
export async function touchConnection(db: Db, session: SessionNo, position: Position): Promise<void> {
  await db`update sessions set used_at = now(), position = ${position} where session = ${session}`;
}

/** A stored state: `body` JSON; with `base`, what it changes of that whole one. */
export type StoredState = { readonly base: { readonly state: number; readonly body: string } | null; readonly body: string };

/** null: it is gone. */
export async function findConnectionState(db: Db, session: SessionNo, state: number): Promise<StoredState | null> {
  const [row] = await db<{ body: string; base: number | null; base_body: string | null }[]>`
    select st.body, st.base, b.body as base_body
    from connection_states st left join connection_states b on b.session = st.session and b.state = st.base
    where st.session = ${session} and st.state = ${state}`;
  if (!row) return null;
  if (row.base === null) return { base: null, body: row.body };
  return row.base_body === null ? null : { base: { state: row.base, body: row.base_body }, body: row.body };
}

/** States that a client may still acknowledge instead of the newest: it lost their answers, or changed its mind. */
const UNACKNOWLEDGED = 16;

/**
 * Keeps a state and gives its number. What is older than `from`, the state that the request came with, goes: the client has
 * acknowledged that one (MSC4186: "the server may clean up"). Null: the connection is gone.
 */
export async function saveConnectionState(
  db: Db,
  session: SessionNo,
  state: {
    readonly from: number;
    readonly fromBase: number | null;
    readonly base: number | null;
    readonly body: string;
    readonly position: Position;
  },
): Promise<number | null> {
  const [row] = await db<{ state: number }[]>`
    with numbered as (
      update sessions set state = state + 1, used_at = now(), position = ${state.position}
      where session = ${session} and kind = 'connection' returning state),
    cleaned as (
      delete from connection_states c using numbered n
      where c.session = ${session} and (c.state < ${state.from} or (c.state > ${state.from} and c.state <= n.state - ${UNACKNOWLEDGED}::integer))
        and c.state is distinct from ${state.base}::integer and c.state is distinct from ${state.fromBase}::integer and c.state <> ${state.from}
        and not exists (select from connection_states x where x.session = ${session} and x.base = c.state and x.state > ${state.from}))
    insert into connection_states (session, state, base, body)
    select ${session}, n.state, ${state.base}::integer, ${state.body} from numbered n returning state`;
  return row?.state ?? null;
}

/** Ends one connection: its positions are unknown from now on. */
export async function endConnection(db: Db, session: SessionNo): Promise<void> {
  await db`delete from sessions where session = ${session} and kind = 'connection'`;
}

/**
 * The device's connections take part in the purge as one (S2): everything up to `acked` was received by their client.
 * 0 where it has received nothing yet, as does more than there is: it is from before our database was restored. Deletes what nobody lacks any more. That they are in use is noted every `touchMs`.
 */
export async function acknowledgeSliding(
  sql: Sql,
  ref: { readonly account: AccountNo; readonly device: DeviceNo },
  acked: number,
  touchMs: number,
): Promise<void> {
  const [row] = await sql<{ freed: boolean }[]>`
    with before as (select acked from sessions where device = ${ref.device} and kind = 'sliding'),
    head as (select seq from devices where device = ${ref.device})
    insert into sessions (account, device, kind, takes_part, acked)
    select ${ref.account}, ${ref.device}, 'sliding', true, case when ${acked}::bigint <= head.seq then ${acked}::bigint else 0 end from head
    on conflict (device) where kind = 'sliding' do update
      set acked = greatest(sessions.acked, excluded.acked), used_at = now(), takes_part = true
      where excluded.acked > sessions.acked or sessions.used_at < now() - make_interval(secs => ${touchMs / 1000})
    returning acked > coalesce((select acked from before), 0) as freed`;
  if (row?.freed) await untilThrough(() => purgeToDevice(sql, ref.device));
}
