/** Stores a chunk of history that was fetched from the homeserver's /messages. */

import type { Tx } from "../../store/db.ts";
import { writeTx } from "../../store/db.ts";
import { lockAccount } from "../../store/ingest/device.ts";
import { readOldest, readStoredIds, writeOlder } from "../../store/ingest/older.ts";
import type { EventWrite } from "../../store/ingest/row-types.ts";
import { writeEvents } from "../../store/ingest/write-events.ts";
import type { CutEvent } from "../../wire/event.ts";
import { cutEvent } from "../../wire/event.ts";
import type { AccountNo, EventId, RoomId } from "../../wire/ids.ts";
import type { IngestDeps } from "./ingest.ts";

export type OlderInput = {
  readonly account: AccountNo;
  readonly roomId: RoomId;
  /** Newest first; the newest is right before the oldest stored event. */
  readonly events: readonly string[];
  /** The state before the oldest of them, without members. */
  readonly state: readonly string[];
  /** The token before the oldest of them; null: the room's beginning. */
  readonly prevBatch: string | null;
  /** When they arrived, ms. */
  readonly now: number;
};

/** `stored`: how many were unknown. `oldest`: the lowest idx now, of older and older_chunks; 0: nothing is older than the oldest timeline event. */
export type OlderResult = { readonly stored: number; readonly oldest: number };

/** Skips malformed and known events. The position does not change: history is not news. */
export async function storeOlder(deps: IngestDeps, input: OlderInput): Promise<OlderResult> {
  const events = cutAll(input.events, input.now);
  const state = cutAll(input.state, input.now).filter((event) => event.state_key !== null && event.type !== "m.room.member");
  return await writeTx(deps.sql, (tx) => store(tx, input, events, state));
}

async function store(tx: Tx, input: OlderInput, events: readonly CutEvent[], state: readonly CutEvent[]): Promise<OlderResult> {
  const { account, roomId } = input;
  const [, oldestKnown, known] = await Promise.all([
    lockAccount(tx, account),
    readOldest(tx, account, roomId),
    readStoredIds(
      tx,
      account,
      roomId,
      events.map((event) => event.event_id),
    ),
  ]);
  const fresh = events.filter((event) => !known.has(event.event_id));
  const lowest = oldestKnown.idx;
  // Another process fetched from the same point, and further: the end of this chunk is not the end of the history.
  if (fresh.length === 0 && events.length > 0 && events.at(-1)?.event_id !== oldestKnown.event_id) return { stored: 0, oldest: lowest };
  const rows = fresh.map(({ event_id, unsigned, age_ts }, index) => ({ idx: lowest - 1 - index, event_id, unsigned, age_ts }));
  const oldest = lowest - fresh.length;
  const chunk = { idx: oldest, prev_batch: input.prevBatch, state: state.map((event) => event.event_id) };
  await Promise.all([...writeEvents(tx, [...fresh, ...state].map(eventRow)), ...writeOlder(tx, account, roomId, rows, chunk)]);
  return { stored: fresh.length, oldest };
}

function eventRow({ event_id, type, state_key, sender, ts, body, redacted_because }: CutEvent): EventWrite {
  return { event_id, type, state_key, sender, ts, body, pruned: redacted_because };
}

/** Without duplicates and malformed events. */
function cutAll(texts: readonly string[], now: number): CutEvent[] {
  const events = new Map<EventId, CutEvent>();
  for (const text of texts) {
    const event = cutEvent(text, now);
    if (event.kind === "event" && !events.has(event.event_id)) events.set(event.event_id, event);
  }
  return [...events.values()];
}
