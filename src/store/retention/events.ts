/** Event bodies that no account refers to any more. */

import type { EventId } from "../../wire/ids.ts";
import type { Db, Tx } from "../db.ts";

/**
 * Deletes those of the events that nothing refers to. Returns how many.
 *
 * Ingest may be about to refer to one of them. It locks the bodies that are there already `for key share` before it does (see
 * hold-events.ts), so there are two cases. It was first: its lock makes us pass the body over, or, where it has committed already,
 * the second statement sees its rows, as it looks at the database after our locks were had. We were first: it waits for us,
 * finds the body gone, and writes it anew. One statement would not do: its snapshot is older than its locks.
 * Locks are taken without waiting, so nobody waits for us in a ring.
 */
export async function deleteUnreferenced(tx: Tx, ids: readonly EventId[]): Promise<number> {
  if (ids.length === 0) return 0;
  const candidates = [...new Set(ids)];
  const locked = await tx<{ event_id: EventId }[]>`
    select e.event_id from events e where e.event_id = any(${candidates}::text[]) and ${unreferenced(tx)}
    for update of e skip locked`;
  if (locked.length === 0) return 0;
  const deleted = await tx`
    delete from events e where e.event_id = any(${locked.map((row) => row.event_id)}::text[]) and ${unreferenced(tx)}`;
  return deleted.count;
}

/**
 * The next `limit` event ids after one, for a look at all of them in small parts: what goes with an account or a forgotten room
 * leaves its bodies behind.
 */
export async function nextEvents(db: Db, after: string, limit: number): Promise<EventId[]> {
  const rows = await db<{ event_id: EventId }[]>`select event_id from events where event_id > ${after} order by event_id limit ${limit}`;
  return rows.map((row) => row.event_id);
}

function unreferenced(tx: Tx) {
  return tx`not exists (select from timeline x where x.event_id = e.event_id)
    and not exists (select from members x where x.event_id = e.event_id)
    and not exists (select from state x where x.event_id = e.event_id)
    and not exists (select from older x where x.event_id = e.event_id)
    and not exists (select from older_chunks x where x.state::jsonb ? e.event_id)`;
}
