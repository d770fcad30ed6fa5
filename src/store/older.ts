/** History that was fetched with /messages: what lies right before the oldest timeline row of a room. */

import type { AccountNo, RoomId } from "../wire/ids.ts";
import type { Db } from "./db.ts";
import type { EventRow } from "./event-row.ts";
import type { StateRow } from "./state.ts";

export type OlderRow = EventRow & { readonly idx: number };

export type OlderHistory = {
  /** Oldest first, at most `limit`, adjoining the timeline. */
  readonly events: readonly OlderRow[];
  /** State before the first of `events`, without members, by type, then key. */
  readonly stateBefore: readonly StateRow[];
  /** Upstream token right before the oldest stored event; null: that is the room's beginning. Undefined: nothing was fetched yet. */
  readonly prevBatch: string | null | undefined;
  /** Nothing older than `events` is stored. */
  readonly complete: boolean;
};

/** The newest `limit` events of a room's fetched history, and the state before them. */
export async function readOlder(db: Db, account: AccountNo, roomId: RoomId, limit: number): Promise<OlderHistory> {
  const newestFirst = await db<OlderRow[]>`
    select o.room_id, o.idx, o.event_id, o.unsigned, o.age_ts, e.type, e.state_key, e.sender, e.body
    from older o join events e using (event_id)
    where o.account = ${account} and o.room_id = ${roomId}
    order by o.idx desc limit ${limit + 1}`;
  const chunks = await db<{ idx: number; prev_batch: string | null; state: string }[]>`
    select idx, prev_batch, state from older_chunks where account = ${account} and room_id = ${roomId} order by idx`;
  const events = newestFirst.slice(0, limit).reverse();
  const complete = newestFirst.length <= limit;
  const [first] = events;
  const prevBatch = chunks[0]?.prev_batch;
  if (!first) return { events, stateBefore: [], prevBatch, complete };
  // The chunk that holds the first event: the one that begins at or before it, nearest. Its state is rolled forward to the event.
  const chunk = chunks.filter((c) => c.idx <= first.idx).at(-1);
  if (!chunk) return { events: [], stateBefore: [], prevBatch, complete };
  return { events, stateBefore: await rolledState(db, account, roomId, chunk, first.idx), prevBatch, complete };
}

async function rolledState(
  db: Db, account: AccountNo, roomId: RoomId, chunk: { idx: number; state: string }, before: number,
): Promise<StateRow[]> {
  const rows = await db<StateRow[]>`
    with passed as (
      select distinct on (e.type, e.state_key) e.event_id, o.unsigned, o.age_ts, e.type, e.state_key
      from older o join events e using (event_id)
      where o.account = ${account} and o.room_id = ${roomId} and o.idx >= ${chunk.idx} and o.idx < ${before}
        and e.state_key is not null and e.type <> 'm.room.member'
      order by e.type, e.state_key, o.idx desc
    ), base as (
      select e.event_id, null::text as unsigned, null::bigint as age_ts, e.type, e.state_key
      from events e where e.event_id = any(${JSON.parse(chunk.state) as string[]}::text[])
    )
    select ${roomId}::text as room_id, 0 as from_ord, s.event_id, s.unsigned, s.age_ts, s.type, s.state_key, e.sender, e.body
    from (
      select * from passed
      union all
      select * from base where not exists (select from passed where passed.type = base.type and passed.state_key = base.state_key)
    ) s join events e using (event_id)
    order by s.type collate "C", s.state_key collate "C"`;
  return rows;
}
