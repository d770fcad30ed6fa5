/** History that was fetched with /messages: it ends right before the oldest timeline row of a room. */

import type { AccountNo, EventId, RoomId, UserId } from "../wire/ids.ts";
import type { Db } from "./db.ts";
import { bodyOf, type EventRow } from "./event-row.ts";
import type { StateRow } from "./state.ts";
import { likePatterns, type TypeFilter } from "./timeline.ts";

export type OlderRow = EventRow & { readonly idx: number };

export type OlderHistory = {
  /** Oldest first, at most `limit`, directly before the timeline. */
  readonly events: readonly OlderRow[];
  /**
   * State before the first of `events`, without members, overlaid with state events among them that the filter takes out; by
   * type, then key.
   */
  readonly stateBefore: readonly StateRow[];
  /** Upstream token right before the first of `events`, or somewhat later; null: none is known. */
  readonly prevBatch: string | null;
  /** `prevBatch` is right before the first of `events`. */
  readonly exact: boolean;
  /** Upstream token right before the oldest stored event; null: that is the room's beginning. Undefined: nothing was fetched yet. */
  readonly end: string | null | undefined;
  /** Nothing older than `events` is stored. */
  readonly complete: boolean;
};

export type OlderOptions = {
  readonly limit: number;
  readonly ignored: readonly UserId[];
  /** See TimelineWindow. */
  readonly sentSince: number | null;
  readonly filter?: TypeFilter;
};

/** The newest `limit` events of a room's fetched history, and the state before them. */
export async function readOlder(db: Db, account: AccountNo, roomId: RoomId, options: OlderOptions): Promise<OlderHistory> {
  const { limit } = options;
  const { types, notTypes } = likePatterns(options.filter);
  const newestFirst = await db<OlderRow[]>`
    select o.room_id, o.idx, o.event_id, o.unsigned, o.relations, o.relations_ord, o.age_ts, o.sticky_until, e.type, e.state_key, e.sender,
      e.relates_to,
      ${bodyOf(db, account)} as body
    from older o join events e using (event_id)
    where o.account = ${account} and o.room_id = ${roomId}
      and (e.state_key is not null or (e.sender <> all(${[...options.ignored]}::text[]) and e.ts >= coalesce(${options.sentSince}::bigint, e.ts)))
      and (${types}::text[] is null or e.type like any(${types}::text[]))
      and not (e.type like any(${notTypes}::text[]))
    order by o.idx desc limit ${limit + 1}`;
  const chunks = await db<Chunk[]>`
    select idx, prev_batch, state from older_chunks where account = ${account} and room_id = ${roomId} order by idx`;
  const events = newestFirst.slice(0, limit).reverse();
  const complete = newestFirst.length <= limit;
  const [first] = events;
  const end = chunks[0]?.prev_batch;
  const nothing = { events: [], stateBefore: [], prevBatch: null, exact: false, end, complete };
  if (!first) return nothing;
  // The nearest chunk that begins at or before the first event. Its state is rolled forward to the event.
  const chunk = chunks.findLast(({ idx }) => idx <= first.idx);
  if (!chunk) return nothing;
  const next = chunks.find(({ idx }) => idx >= first.idx);
  const prevBatch = complete ? (end ?? null) : (next?.prev_batch ?? null);
  const exact = prevBatch !== null && (complete || next?.idx === first.idx);
  return {
    events,
    stateBefore: await rolledState(db, account, { roomId, chunk, before: first.idx, filter: options.filter }),
    prevBatch,
    exact,
    end,
    complete,
  };
}

/** Events of fetched history by id, without those that are not stored; `place`: how many are stored of the room from the event on. */
export async function findOlder(
  db: Db,
  account: AccountNo,
  eventIds: readonly string[],
): Promise<{ room_id: RoomId; event_id: EventId; place: number }[]> {
  if (eventIds.length === 0) return [];
  return db<{ room_id: RoomId; event_id: EventId; place: number }[]>`
    select room_id, event_id,
      (select count(*)::integer from older n where n.account = o.account and n.room_id = o.room_id and n.idx >= o.idx) as place
    from older o where account = ${account} and event_id = any(${[...eventIds]}::text[]) order by idx`;
}

type Chunk = { readonly idx: number; readonly prev_batch: string | null; readonly state: string };

type ChunkPoint = { readonly roomId: RoomId; readonly chunk: Chunk; readonly before: number; readonly filter: TypeFilter | undefined };

/** The state right before the event with index `before` of a chunk. See OlderHistory.stateBefore. */
async function rolledState(db: Db, account: AccountNo, { roomId, chunk, before, filter }: ChunkPoint): Promise<StateRow[]> {
  const { types, notTypes } = likePatterns(filter);
  const rows = await db<StateRow[]>`
    with passed as (
      select distinct on (e.type, e.state_key) e.event_id, o.unsigned, o.age_ts, e.type, e.state_key
      from older o join events e using (event_id)
      where o.account = ${account} and o.room_id = ${roomId} and o.idx >= ${chunk.idx}
        and (o.idx < ${before} or not (${types}::text[] is null or e.type like any(${types}::text[])) or e.type like any(${notTypes}::text[]))
        and e.state_key is not null and e.type <> 'm.room.member'
      order by e.type, e.state_key, o.idx desc
    ), base as (
      select e.event_id, null::text as unsigned, null::bigint as age_ts, e.type, e.state_key
      from events e where e.event_id = any(${JSON.parse(chunk.state) as string[]}::text[])
    )
    select ${roomId}::text as room_id, 0 as from_ord, s.event_id, s.unsigned, s.age_ts, s.type, s.state_key, e.sender, ${bodyOf(db, account)} as body
    from (
      select * from passed
      union all
      select * from base where not exists (select from passed where passed.type = base.type and passed.state_key = base.state_key)
    ) s join events e using (event_id)
    order by s.type collate "C", s.state_key collate "C"`;
  return rows;
}
