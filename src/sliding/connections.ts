/** What positions stand for: read when a request comes with one, stored when an answer changes it, and cached in between. */

import { LRUCache } from "lru-cache";
import { type Begun, ConnectionWriter, type ConnectionWriterOptions, type FirstState } from "../store/connection-writer.ts";
import { findConnectionState, hadConnectionState, readConnectionStates, type StateRef } from "../store/connections.ts";
import type { Sql } from "../store/db.ts";
import type { AccountNo, DeviceNo, Position } from "../wire/ids.ts";
import { type ConnectionState, fullForm, NOTHING_SENT, type NumberedState, storedForm, type StoredForm } from "./connection-state.ts";
import type { Pos, RequestPos } from "./pos.ts";
import { matcherOf } from "./required-state.ts";
import { fromStored, stateBefore } from "./stored-state.ts";

/** A position with its state. The number 0: the state is not stored. */
export type OpenedPos = { readonly pos: RequestPos; readonly state: NumberedState };

/** What an answer sends, and the position up to which. */
type Sent = { readonly state: ConnectionState; readonly position: Position };

/** Rooms in all cached states together. A record takes about 200 bytes. */
const MAX_RECORDS = 500_000;

/** A state's size in records. This many characters of its configs' JSON count as one. */
const CHARACTERS_A_RECORD = 50;

function recordsOf({ rooms, configs }: ConnectionState): number {
  const characters = configs.reduce((sum, config) => sum + matcherOf(config).key.length, 0);
  return rooms.size + Math.ceil(characters / CHARACTERS_A_RECORD) + 1;
}

export class Connections {
  readonly #sql: Sql;
  readonly #writer: ConnectionWriter;
  /** States never change, so a cached one never becomes outdated. */
  readonly #states = new LRUCache<string, NumberedState>({ maxSize: MAX_RECORDS, sizeCalculation: ({ state }) => recordsOf(state) });

  /** @param writing for writing alone */
  constructor(sql: Sql, writing: Sql, options: ConnectionWriterOptions) {
    this.#sql = sql;
    this.#writer = new ConnectionWriter(writing, options);
  }

  /** null: there is no such connection (any more). If its state was cached, it may be deleted in the database. */
  async open(pos: Pos): Promise<OpenedPos | null> {
    const known = this.#states.get(keyOf(pos));
    if (known) return { pos, state: known };
    const stored = await findConnectionState(this.#sql, pos.account, pos);
    if (!stored) return this.reopen(pos);
    const state = await fromStored(pos.state, stored);
    this.#states.set(keyOf(pos), state);
    return { pos, state };
  }

  /**
   * Opens a position whose state is deleted, because the client had acknowledged a later one: it continues from the newest state, as one of which
   * little is known. null: there is no such connection.
   */
  async reopen(pos: Pos): Promise<(OpenedPos & { readonly pos: Pos }) | null> {
    const { states, newest } = await readConnectionStates(this.#sql, pos.account, pos.session, 0);
    if (!newest || !(await hadConnectionState(this.#sql, pos))) return null;
    return { pos: { ...pos, ...newest }, state: { number: 0, state: await stateBefore(states), base: null } };
  }

  /** Stores the first state of a new connection. null: the device is gone. */
  async begin({ account, device, connId, asks }: Omit<FirstState, "body" | "position">, sent: Sent): Promise<Begun | null> {
    const { base, body } = fullForm(sent.state);
    const begun = await this.#writer.begin({ account, device, connId, asks, body, position: sent.position });
    if (begun) this.#states.set(keyOf(begun), { number: begun.state, state: sent.state, base });
    return begun;
  }

  /** Stores the state that follows a position's, unless it is the same. null: the connection is gone. */
  async follow(from: StateRef, before: NumberedState, sent: Sent): Promise<StateRef | null> {
    if (sent.state === before.state && before.number > 0) return from;
    // The full state that it would be a change of may have been folded meanwhile.
    return (await this.#save(from, storedForm(before, sent.state), sent)) ?? this.#save(from, fullForm(sent.state), sent);
  }

  async #save(from: StateRef, { base, body }: StoredForm, { state, position }: Sent): Promise<StateRef | null> {
    const saved = await this.#writer.save({ from, base: base?.number ?? null, body, position });
    if (saved) this.#states.set(keyOf(saved), { number: saved.state, state, base });
    return saved;
  }
}

/** The position of a connection that does not exist yet. */
export function beginning(account: AccountNo, device: DeviceNo, conn: string): OpenedPos {
  const pos: RequestPos = { account, device, conn, session: null, state: 0, mark: 0, position: 0 as Position, e2ee: 0, upstream: "" };
  return { pos, state: { number: 0, state: NOTHING_SENT, base: null } };
}

function keyOf({ session, state, mark }: StateRef): string {
  return `${session} ${state} ${mark}`;
}
