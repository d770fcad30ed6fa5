/** Timelines of many rooms in one query. */

import type { AccountNo, EventId, Position, RoomId, UserId } from "../wire/ids.ts";
import { indexKey } from "../wire/index-key.ts";
import type { Db } from "./db.ts";
import { bodyOf, type EventRow } from "./event-row.ts";

export type TimelineRow = EventRow & {
  readonly ord: number;
  readonly notify: boolean;
  /** origin_server_ts, ms. */
  readonly ts: number;
};

export type Timeline = {
  /** Oldest first, the newest `limit` of the window, none from before a gap. */
  readonly events: readonly TimelineRow[];
  /** There are older events, in the window or before it, that are not in `events`. */
  readonly limited: boolean;
  /** An upstream token right before the first event, or somewhat later, so that no event is missed. */
  readonly prevBatch: string | null;
  /** `prevBatch` is right before the first event. */
  readonly exact: boolean;
  /** The events reach back to the room's oldest stored timeline row: older ones may be in `older`. */
  readonly reachesStart: boolean;
};

/** v2 filter rules for types: `*` matches any run of characters; `notTypes` wins (spec: RoomEventFilter). */
export type TypeFilter = { readonly types?: readonly string[] | undefined; readonly notTypes?: readonly string[] | undefined };

export type TimelineWindow = {
  readonly roomId: RoomId;
  /** exclusive */
  readonly after: number;
  /** Messages that were sent earlier have expired and are left out (T4), ms; null: none have. */
  readonly sentSince: number | null;
};

const EMPTY: Timeline = { events: [], limited: false, prevBatch: null, exact: false, reachesStart: false };

/**
 * The newest `limit` events (0 and more) of each window, up to `to`.
 * Messages of ignored users are left out (D25); their state events stay, as in v2.
 */
export async function readTimelines(
  db: Db,
  account: AccountNo,
  windows: readonly TimelineWindow[],
  options: { readonly to: Position; readonly limit: number; readonly ignored: readonly UserId[]; readonly filter?: TypeFilter },
): Promise<Map<RoomId, Timeline>> {
  const timelines = new Map<RoomId, Timeline>();
  if (windows.length === 0) return timelines;
  const { types, notTypes } = likePatterns(options.filter);
  const rows = await db<(TimelineRow & { first: number; gap_ord: number | null; prev: string | null; prev_ord: number | null })[]>`
    select w.room_id, t.ord, t.event_id, t.unsigned, t.relations, t.relations_ord, t.age_ts, t.txn_id, t.txn_device, t.sticky_until, t.notify,
      t.type, t.state_key, t.sender, t.ts, t.relates_to, t.body, bounds.first, bounds.gap_ord, p.prev_batch as prev, p.ord as prev_ord
    from unnest(${windows.map((w) => w.roomId)}::text[], ${windows.map((w) => w.after)}::bigint[], ${windows.map((w) => w.sentSince)}::bigint[])
      as w(room_id, after, sent_since)
    cross join lateral (
      select
        (select min(ord) from timeline where account = ${account} and room_id = w.room_id) as first,
        (select max(ord) from timeline
         where account = ${account} and room_id = w.room_id and gap and ord > w.after and ord <= ${options.to}) as gap_ord
    ) bounds
    left join lateral (
      select t.ord, t.event_id, t.unsigned, t.relations, t.relations_ord, t.age_ts, t.txn_id, t.txn_device, t.sticky_until, t.notify,
        e.type, e.state_key, e.sender, e.ts, e.relates_to,
        ${bodyOf(db, account)} as body
      from timeline t join events e using (event_id)
      where t.account = ${account} and t.room_id = w.room_id and t.ord <= ${options.to}
        and t.ord > w.after and t.ord >= coalesce(bounds.gap_ord, 0)
        and (e.state_key is not null or (e.sender <> all(${options.ignored}::text[]) and (w.sent_since is null or e.ts >= w.sent_since)))
        and (${types}::text[] is null or e.type like any(${types}::text[]))
        and not (e.type like any(${notTypes}::text[]))
      order by t.ord desc
      limit ${options.limit + 1}
    ) t on true
    left join lateral (
      select prev_batch, ord from timeline p
      where p.account = ${account} and p.room_id = w.room_id and p.ord >= t.ord and p.prev_batch is not null
      order by p.ord limit 1
    ) p on true
    order by w.room_id, t.ord desc`;
  for (const [roomId, newestFirst] of groupByRoom(rows)) {
    const [head] = newestFirst;
    // An empty window still has one row of nulls, which has its bounds.
    const present = newestFirst.filter((row) => row.ord !== null);
    const events = present.slice(0, options.limit).reverse();
    const [first] = events;
    timelines.set(roomId, {
      events,
      limited: present.length > options.limit || (head?.gap_ord ?? null) !== null,
      prevBatch: first?.prev ?? null,
      exact: first !== undefined && first.prev_ord === first.ord && !beginsRoom(first),
      reachesStart: present.length <= options.limit && (head?.gap_ord === null || head?.gap_ord === head?.first),
    });
  }
  for (const { roomId } of windows) if (!timelines.has(roomId)) timelines.set(roomId, EMPTY);
  return timelines;
}

/** The rooms with timeline events in (from, to], with the ordinal of the last. */
export async function roomsWithEvents(db: Db, account: AccountNo, from: Position, to: Position): Promise<Map<RoomId, number>> {
  const rows = await db<{ room_id: RoomId; last: number }[]>`
    select room_id, max(ord) as last from timeline where account = ${account} and ord > ${from} and ord <= ${to} group by room_id`;
  return new Map(rows.map((row) => [row.room_id, row.last]));
}

/** Ordinals of events in an account's timeline; those that are not there are left out. */
export async function findOrdinals(
  db: Db,
  account: AccountNo,
  eventIds: readonly string[],
): Promise<{ room_id: RoomId; event_id: EventId; ord: number }[]> {
  if (eventIds.length === 0) return [];
  return db<{ room_id: RoomId; event_id: EventId; ord: number }[]>`
    select room_id, event_id, ord from timeline where account = ${account} and event_id = any(${[...eventIds]}::text[]) order by ord`;
}

/** What is before a timeline event of a room: an upstream token right before it, or somewhat later, and whether there are older events. */
export async function standingBefore(
  db: Db,
  account: AccountNo,
  roomId: RoomId,
  ord: number,
): Promise<{ readonly prevBatch: string | null; readonly exact: boolean; readonly older: boolean }> {
  const [row] = await db<{ prev_batch: string | null; prev_ord: number | null; older: boolean }[]>`
    select p.prev_batch, p.ord as prev_ord,
      exists (select from timeline where account = ${account} and room_id = ${roomId} and (ord < ${ord} or (ord = ${ord} and gap))) as older
    from (select 1) single left join lateral (
      select prev_batch, ord from timeline
      where account = ${account} and room_id = ${roomId} and ord >= ${ord} and prev_batch is not null order by ord limit 1) p on true`;
  return { prevBatch: row?.prev_batch ?? null, exact: row?.prev_ord === ord, older: row?.older ?? false };
}

/** A filter's types as patterns for SQL's `like`; `types` null: any. */
export function likePatterns(filter: TypeFilter | undefined): { readonly types: string[] | null; readonly notTypes: string[] } {
  return { types: filter?.types?.map(likePattern) ?? null, notTypes: filter?.notTypes?.map(likePattern) ?? [] };
}

/**
 * The first row of a room, without a gap before it: the timeline that it came in was the complete room. In a first answer Synapse's
 * `prev_batch` for such a timeline is a point after it.
 */
function beginsRoom({ ord, first, gap_ord }: { readonly ord: number; readonly first: number; readonly gap_ord: number | null }): boolean {
  return ord === first && gap_ord !== first;
}

/** In a type of more than 255 bytes a wildcard can match only the beginning, which its index key has. */
function likePattern(type: string): string {
  return (type.includes("*") ? type : indexKey(type)).replace(/[\\%_]/g, "\\$&").replaceAll("*", "%");
}

function groupByRoom<Row extends { room_id: RoomId }>(rows: readonly Row[]): Map<RoomId, Row[]> {
  const groups = new Map<RoomId, Row[]>();
  for (const row of rows) {
    const group = groups.get(row.room_id);
    if (group) group.push(row);
    else groups.set(row.room_id, [row]);
  }
  return groups;
}
