/** Stores a chunk of history that was fetched from the homeserver's /messages. */

import type { Tx } from "../../store/db.ts";
import { writeTx } from "../../store/db.ts";
import { lockAccount } from "../../store/ingest/device.ts";
import { presentState, readBodiesOf, writeOwnBodies } from "../../store/ingest/bodies.ts";
import { moveOn } from "../../store/ingest/member-list.ts";
import { readOldest, readStoredIds, writeOlder } from "../../store/ingest/older.ts";
import { oldestToken } from "../../store/fetch-start.ts";
import type { EventWrite } from "../../store/ingest/row-types.ts";
import { writeEvents, writeRedactions } from "../../store/ingest/write-events.ts";
import type { CutEvent } from "../../wire/event.ts";
import { cutEvent } from "../../wire/event.ts";
import type { AccountNo, EventId, Position, RoomId } from "../../wire/ids.ts";
import type { IngestDeps } from "./ingest.ts";
import { settleEvents } from "./own-bodies.ts";

export type OlderInput = {
  readonly account: AccountNo;
  readonly roomId: RoomId;
  /** The token that they were read from, right before the oldest stored event. Default: it is not known. */
  readonly from?: string;
  /** Newest first; the newest is right before the oldest stored event. */
  readonly events: readonly string[];
  /** The state before the oldest of them, without members. */
  readonly state: readonly string[];
  /** The token before the oldest of them; null: the room's beginning. */
  readonly prevBatch: string | null;
  /** The account's position before they were asked for. */
  readonly position: Position;
  /** When they arrived, ms. */
  readonly now: number;
};

/** `stored`: how many were unknown. `oldest`: the lowest idx now, of older and older_chunks; 0: nothing is older than the oldest timeline event. */
export type OlderResult = { readonly stored: number; readonly oldest: number };

/** Stores nothing if something else is the oldest stored event by now. Skips malformed and known events. History is not news, so the position changes only if the account sees a body otherwise than others (T6). */
export async function storeOlder(deps: IngestDeps, input: OlderInput): Promise<OlderResult> {
  const events = cutAll(input.events, input.now);
  const state = cutAll(input.state, input.now).filter((event) => event.state_key !== null && event.type !== "m.room.member");
  return await writeTx(deps.sql, (tx) => store(tx, input, events, state));
}

async function store(tx: Tx, input: OlderInput, received: readonly CutEvent[], receivedState: readonly CutEvent[]): Promise<OlderResult> {
  const { account, roomId } = input;
  const [, start, oldestKnown, known, bodies] = await Promise.all([
    lockAccount(tx, account),
    oldestToken(tx, account, roomId),
    readOldest(tx, account, roomId),
    readStoredIds(
      tx,
      account,
      roomId,
      received.map((event) => event.event_id),
    ),
    readBodiesOf(tx, account, [...received, ...receivedState]),
  ]);
  if (input.from !== undefined && input.from !== start) return { stored: 0, oldest: oldestKnown.idx };
  const present = await presentState(tx, account, roomId, bodies);
  const { events, own, redactions } = settleEvents(received, roomId, bodies, present);
  const { events: state, ...ofState } = settleEvents(receivedState, roomId, bodies, present);
  const ownBodies = [...own, ...ofState.own];
  const fresh = events.filter((event) => !known.has(event.event_id));
  const lowest = oldestKnown.idx;
  // Another process fetched from the same point, and further: the end of this chunk is not the end of the history.
  const isOvertaken = fresh.length === 0 && events.length > 0 && events.at(-1)?.event_id !== oldestKnown.event_id;
  const rows = fresh.map(({ event_id, unsigned, relations, age_ts, sticky_until }, index) => {
    const relations_ord = relations === null ? null : input.position;
    return { idx: lowest - 1 - index, event_id, unsigned, relations, relations_ord, age_ts, sticky_until };
  });
  const oldest = lowest - fresh.length;
  const chunk = { idx: oldest, prev_batch: input.prevBatch, state: state.map((event) => event.event_id) };
  await Promise.all([
    ...(isOvertaken ? [] : [...writeEvents(tx, [...fresh, ...state].map(eventRow)), ...writeOlder(tx, account, roomId, rows, chunk)]),
    ...writeRedactions(tx, [{ account, writes: { redactions: [...redactions, ...ofState.redactions] } }]),
    ...writeOwnBodies(tx, [{ account, writes: { ownBodies } }]),
    ...(ownBodies.length > 0 ? [moveOn(tx, account, roomId)] : []),
  ]);
  return { stored: fresh.length, oldest };
}

/** The row of `events`. */
export function eventRow({ event_id, type, state_key, sender, ts, relation, body, redacted_because, shared }: CutEvent): EventWrite {
  return { event_id, type, state_key, sender, ts, relation, body, pruned: redacted_because, shared };
}

/** The events of an answer other than a sync's, without duplicates and malformed ones. */
export function cutAll(texts: readonly string[], now: number): CutEvent[] {
  const events = new Map<EventId, CutEvent>();
  for (const text of texts) {
    const event = cutEvent(text, now);
    if (event.kind === "event" && !events.has(event.event_id)) events.set(event.event_id, event);
  }
  return [...events.values()];
}
