/** Reads the states of connections as they are stored: in full or as changes, as JSON or folded. */

import type { StoredBody, StoredState } from "../store/connections.ts";
import { type ConnectionState, NOTHING_SENT, type NumberedState, parseState } from "./connection-state.ts";
import { folded, mergedState, unfolded } from "./folded-state.ts";

export async function fromStored(number: number, stored: StoredState): Promise<NumberedState> {
  const { base, body } = stored;
  if (!base) return { number, base: null, state: await read(body) };
  const full = await read(base.body);
  const own = body === null ? full : parseState(body);
  return { number, base: { number: base.state, rooms: full.rooms }, state: { ...own, rooms: new Map([...full.rooms, ...own.rooms]) } };
}

async function read(body: StoredBody): Promise<ConnectionState> {
  return typeof body === "string" ? parseState(body) : unfolded(body);
}

/** All states of a connection as one, oldest first. */
export async function foldStates(stored: readonly StoredState[]): Promise<Buffer> {
  return folded(await mergedState(await all(stored)));
}

/** What a position stands for whose state is deleted, as the client has acknowledged a later one: any of the rooms may have been sent, and more is unknown. */
export async function stateBefore(later: readonly StoredState[]): Promise<ConnectionState> {
  return mergedState([NOTHING_SENT, ...(await all(later))]);
}

async function all(stored: readonly StoredState[]): Promise<ConnectionState[]> {
  const states: ConnectionState[] = [];
  for (const one of stored) states.push((await fromStored(0, one)).state); // oxlint-disable-line no-await-in-loop -- one at a time: they are large
  return states;
}
