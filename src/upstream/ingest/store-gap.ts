/** Closes a gap of feeds (S6): stores what was fetched of it, and releases the events that it held. */

import { type Sql, type Tx, writeTx } from "../../store/db.ts";
import { readBodiesOf, writeOwnBodies } from "../../store/ingest/bodies.ts";
import { lockAccount } from "../../store/ingest/device.ts";
import { readRedacted } from "../../store/ingest/known.ts";
import { moveOn, readRoom } from "../../store/ingest/member-list.ts";
import type { RedactionWrite } from "../../store/ingest/row-types.ts";
import { closeGap, type FeedWrite, heldAfter, isOpen, type OpenGap, sidesOf } from "../../store/ingest/feed.ts";
import { writeEvents, writeRedactions } from "../../store/ingest/write-events.ts";
import { type CutEvent, eventText } from "../../wire/event.ts";
import type { DeviceNo } from "../../wire/ids.ts";
import { pruneEvent } from "../../wire/redact.ts";
import { settleEvents } from "./own-bodies.ts";
import { withReason } from "./redactions.ts";
import { eventRow } from "./store-older.ts";

export type FoundEvents = {
  /** Oldest first; they end where the gap ends. */
  readonly events: readonly CutEvent[];
  /** Null: nothing else is missing. Otherwise the token right before them; without them, at the gap's end. */
  readonly missingBefore: string | null;
  /** The device whose token was used. */
  readonly device: DeviceNo | null;
};

/** False: it was closed meanwhile, and nothing was stored. */
export async function storeGap(sql: Sql, gap: OpenGap, found: FoundEvents): Promise<boolean> {
  return await writeTx(sql, (tx) => store(tx, gap, found));
}

async function store(tx: Tx, gap: OpenGap, { events, missingBefore, device }: FoundEvents): Promise<boolean> {
  const { account: no, room_id } = gap;
  const account = await lockAccount(tx, no);
  if (!account || !(await isOpen(tx, gap))) return false;
  const ids = events.map((event) => event.event_id);
  const [held, sides, bodies] = await Promise.all([heldAfter(tx, gap), sidesOf(tx, gap, ids), readBodiesOf(tx, no, events)]);
  const fresh = events.filter((event) => !sides.has(event.event_id));
  const settled = settleEvents(fresh, room_id, bodies);
  const redactions = [...settled.redactions, ...(await redactedBy(tx, gap, settled.events))];
  let position = account.position;
  const next = () => (position += 1);
  const rows: FeedWrite[] = [];
  if (missingBefore !== null) {
    rows.push({ ...NOTHING, place: next(), gap: { after: gap.after_event, prev_batch: missingBefore } });
  }
  for (const { event_id, unsigned, age_ts, txn_id } of settled.events) {
    rows.push({ place: next(), event_id, gap: null, unsigned, age_ts, txn_id, txn_device: txn_id === null ? null : device });
  }
  const released = held.map(({ place }) => ({ from: place, place: next() }));
  await Promise.all([
    ...writeEvents(tx, settled.events.map(eventRow)),
    ...writeRedactions(tx, [{ account: no, writes: { redactions } }]),
    ...writeOwnBodies(tx, [{ account: no, writes: { ownBodies: settled.own } }]),
    ...closeGap(tx, gap, rows, released, position),
    ...(redactions.length + settled.own.length > 0 ? [moveOn(tx, no, room_id)] : []),
  ]);
  return true;
}

/** Of redactions that were in the gap, what they redact of the events before it. */
async function redactedBy(tx: Tx, { account, room_id }: OpenGap, events: readonly CutEvent[]): Promise<RedactionWrite[]> {
  const reasons = new Map(events.flatMap((event) => (event.redacts === null ? [] : [[event.redacts, event] as const])));
  if (reasons.size === 0) return [];
  const [targets, room] = await Promise.all([
    readRedacted(tx, [{ account, touched: { redacted: [...reasons.keys()] } }]),
    readRoom(tx, account, room_id),
  ]);
  return targets.flatMap(({ event_id, room_id: of, type, body, pruned, unsigned }) => {
    const reason = reasons.get(event_id);
    if (!reason || of !== room_id) return [];
    const because = eventText({ body: reason.body, room_id, unsigned: null, age_ts: null, txn_id: null }, 0);
    const rest = pruned ? body : pruneEvent(body, type, room?.facts?.room_version);
    return [{ event_id, body: rest, unsigned: withReason(unsigned, because), sort_name: null, ord: null }];
  });
}

const NOTHING = { event_id: null, unsigned: null, age_ts: null, txn_id: null, txn_device: null } as const;
