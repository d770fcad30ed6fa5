/**
 * Writes sliding sync connections. Each answer that changes what was sent on a connection writes a state, and the client waits for that
 * write. The states of many requests share one statement and one commit.
 */

import { randomInt } from "node:crypto";
import { Gathered } from "../base/gathered.ts";
import type { AccountNo, DeviceNo, Position } from "../wire/ids.ts";
import type { Asks, StateRef } from "./connections.ts";
import { type Sql, untilThrough } from "./db.ts";

/** A new connection, with what its first answer sends. */
export type FirstState = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly connId: string;
  readonly asks: Asks;
  /** JSON. */
  readonly body: string;
  readonly position: Position;
};

/** `ended`: how many connections of the device were ended to stay within the bound. */
export type Begun = StateRef & { readonly ended: number };

/** A state that follows another one. */
export type NextState = {
  /** The state that the request came with. */
  readonly from: StateRef;
  /** JSON; with `base`, the change to that full state. */
  readonly base: number | null;
  readonly body: string;
  readonly position: Position;
};

/** States that a client may still acknowledge instead of the newest one: it lost their answers, or changed its mind. */
const UNACKNOWLEDGED = 16;
const MAX_MARK = 2 ** 31 - 1;

export type ConnectionWriterOptions = {
  /** Most connections; see #makeRoom. */
  readonly connectionsPerDevice: number;
  /** Commits do not wait for the disk. Default: they do. */
  readonly asyncCommits?: boolean | undefined;
};

export class ConnectionWriter {
  readonly #sql: Sql;
  readonly #options: ConnectionWriterOptions;
  readonly #begins: Gathered<FirstState, Begun | null>;
  readonly #saves: Gathered<NextState, StateRef | null>;

  constructor(sql: Sql, options: ConnectionWriterOptions) {
    this.#sql = sql;
    this.#options = options;
    this.#begins = new Gathered((states) => this.#begin(states), { keyOf: ({ device, connId }) => `${device} ${connId}` });
    this.#saves = new Gathered((states) => this.#save(states), { keyOf: ({ from }) => from.session });
  }

  /**
   * Begins a connection that replaces the device's earlier one of that name: positions of the earlier one become unknown. Null: the device
   * is gone, e.g. it has logged out since its request was authenticated.
   */
  begin(state: FirstState): Promise<Begun | null> {
    return this.#begins.ask(state);
  }

  /**
   * Stores a state, and deletes those older than the one that the request came with: the client has acknowledged that one (MSC4186: "the
   * server may clean up"). Null: the connection or that state is gone, or the base is, since the connection was folded.
   */
  save(state: NextState): Promise<StateRef | null> {
    return this.#saves.ask(state);
  }

  async #begin(states: readonly FirstState[]): Promise<(Begun | null)[]> {
    const sql = this.#sql;
    const mark = randomInt(MAX_MARK);
    // In one order for all connections of a name, so that no two transactions wait for each other.
    const rows = await untilThrough(
      () => sql<(StateRef & { device: DeviceNo; conn_id: string; fresh: boolean })[]>`
      with asked as (
        select * from unnest(
          ${states.map((state) => state.account)}::bigint[], ${states.map((state) => state.device)}::bigint[], ${states.map((state) => state.connId)}::text[],
          ${states.map((state) => state.body)}::text[], ${states.map((state) => state.position)}::bigint[],
          ${states.map(({ asks }) => String(asks.presence))}::text[], ${states.map(({ asks }) => String(asks.threads))}::text[]
        ) as a(account, device, conn_id, body, position, presence, threads)),
      -- One device that is being deleted must not fail the requests of the others. Accounts first, as whoever deletes locks them.
      owners as materialized (
        select account from accounts where account = any(${states.map((state) => state.account)}::bigint[]) order by account for key share),
      there as materialized (
        select device from devices
        where device = any(${states.map((state) => state.device)}::bigint[]) and account in (select account from owners)
        order by device for key share),
      begun as (
        insert into sessions (account, device, kind, conn_id, position, state, presence, threads)
        select account, device, 'connection', conn_id, position, 1, presence::boolean, threads::boolean from asked where device in (select device from there) order by device, conn_id
        on conflict (device, conn_id) where kind = 'connection' do update
          set state = sessions.state + 1, first_state = sessions.state + 1, position = excluded.position, presence = excluded.presence, threads = excluded.threads, used_at = now(), from_state = 0
        returning session, device, conn_id, state, xmax = 0 as fresh),
      cleaned as (delete from connection_states c using begun b where c.session = b.session and c.state <> b.state),
      written as (
        insert into connection_states (session, state, mark, body)
        select b.session, b.state, ${mark}, a.body from begun b join asked a using (device, conn_id))
      select session, state, ${mark}::integer as mark, device, conn_id, fresh${this.#commit} from begun`,
    );
    const added = [...new Set(rows.filter((row) => row.fresh).map((row) => row.device))];
    const ended = added.length > 0 ? await this.#makeRoom(added) : [];
    const begun = new Map(rows.map((row) => [`${row.device} ${row.conn_id}`, row]));
    return states.map(({ device, connId }) => {
      const row = begun.get(`${device} ${connId}`);
      return row ? { session: row.session, state: row.state, mark: row.mark, ended: ended.filter((other) => other === device).length } : null;
    });
  }

  /** Part of what a statement returns; it sets how its own commit is done. For this transaction alone, so that it works through a pooler. */
  get #commit() {
    return this.#options.asyncCommits ? this.#sql`, set_config('synchronous_commit', 'off', true) as commit` : this.#sql``;
  }

  /**
   * Ends connections above the bound: of those that never went on after their first answer all but the newest, then the longest idle. Returns the
   * device of each.
   */
  async #makeRoom(devices: readonly DeviceNo[]): Promise<DeviceNo[]> {
    const sql = this.#sql;
    const rows = await untilThrough(
      () => sql<{ device: DeviceNo }[]>`
      delete from sessions where session in (
        select session from (
          select session, row_number() over (partition by device order by from_state > 0 or newest = 1 desc, used_at desc, session desc) as rank
          from (
            select session, device, from_state, used_at,
              row_number() over (partition by device, from_state > 0 order by used_at desc, session desc) as newest
            from sessions where device = any(${[...devices]}::bigint[]) and kind = 'connection') c) s
        where rank > ${this.#options.connectionsPerDevice})
      returning device`,
    );
    return rows.map((row) => row.device);
  }

  async #save(states: readonly NextState[]): Promise<(StateRef | null)[]> {
    const sql = this.#sql;
    const mark = randomInt(MAX_MARK);
    const rows = await untilThrough(
      () => sql<StateRef[]>`
      with asked as (
        select a.*, f.base as from_base from unnest(
          ${states.map((state) => state.from.session)}::bigint[], ${states.map((state) => state.from.state)}::integer[],
          ${states.map((state) => state.from.mark)}::integer[], ${states.map((state) => state.base ?? -1)}::integer[],
          ${states.map((state) => state.body)}::text[], ${states.map((state) => state.position)}::bigint[]
        ) as a(session, from_state, from_mark, base, body, position)
        join connection_states f on f.session = a.session and f.state = a.from_state and f.mark = a.from_mark),
      numbered as (
        update sessions s set state = s.state + 1, used_at = now(), position = a.position,
          from_state = greatest(s.from_state, a.from_state)
        from asked a
        where s.session = a.session and s.kind = 'connection' and a.from_state >= s.first_state and (a.base = -1 or a.base >= s.folded)
        returning s.session, s.state),
      cleaned as (
        delete from connection_states c using numbered n, asked a
        where a.session = n.session and c.session = n.session
          and (c.state < a.from_state or (c.state > a.from_state and c.state <= n.state - ${UNACKNOWLEDGED}::integer))
          and c.state <> a.base and c.state is distinct from a.from_base
          and not exists (select from connection_states x where x.session = c.session and x.base = c.state and x.state > a.from_state)),
      written as (
        insert into connection_states (session, state, mark, base, body)
        select n.session, n.state, ${mark}, nullif(a.base, -1), a.body from numbered n join asked a using (session))
      select session, state, ${mark}::integer as mark${this.#commit} from numbered`,
    );
    const saved = new Map(rows.map((row) => [row.session, row]));
    return states.map(({ from }) => saved.get(from.session) ?? null);
  }
}
