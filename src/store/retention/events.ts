/** Event bodies that no account refers to any more. */

import type { AccountNo, EventId } from "../../wire/ids.ts";
import { byKey, type Db, type Tx } from "../db.ts";

/**
 * Deletes those of the events that no row refers to. Returns how many.
 *
 * Ingest may be about to refer to one of them. It locks the existing bodies `for key share` first (see hold-events.ts), so there are two
 * cases. If it was first: its lock makes us skip the body; or, if it has committed already, the second statement sees its rows, because its
 * snapshot is taken after we had our locks. If we were first: it waits for us, finds the body gone, and inserts it again. A single statement
 * would not do, because its snapshot is older than its locks. Our locks are taken without waiting, so we cannot be part of a deadlock.
 */
export async function deleteUnreferenced(tx: Tx, ids: readonly EventId[]): Promise<number> {
  if (ids.length === 0) return 0;
  const candidates = [...new Set(ids)];
  await deleteOwn(tx, candidates);
  const locked = await tx<{ event_id: EventId }[]>`
    select e.event_id from events e where e.event_id = any(${candidates}::text[]) and ${unreferenced(tx)}
    for update of e skip locked`;
  if (locked.length === 0) return 0;
  const deleted = await tx`
    delete from events e where e.event_id = any(${locked.map((row) => row.event_id)}::text[]) and ${unreferenced(tx)}`;
  return deleted.count;
}

/** Deletes the accounts' own copies of those events that are no longer shown: in the same two steps, for the same reasons. */
async function deleteOwn(tx: Tx, ids: readonly EventId[]): Promise<void> {
  const locked = await tx<{ account: AccountNo; event_id: EventId }[]>`
    select account, event_id from own_events o where event_id = any(${[...ids]}::text[]) and ${unshown(tx)} for update skip locked`;
  if (locked.length === 0) return;
  await tx`
    delete from own_events o using unnest(${locked.map((row) => row.account)}::bigint[], ${locked.map((row) => row.event_id)}::text[]) l(account, event_id)
    where o.account = l.account and o.event_id = l.event_id and ${unshown(tx)}`;
}

/**
 * The next `limit` event ids after a given one, to check all of them in small parts: deleting an account or a forgotten room leaves its
 * bodies behind.
 */
export async function nextEvents(db: Db, after: string, limit: number): Promise<EventId[]> {
  const rows = await db<{ event_id: EventId }[]>`
    (select event_id from events where event_id > ${after} order by event_id limit ${limit})
    union (select event_id from own_events where event_id > ${after} order by event_id limit ${limit})
    order by event_id limit ${limit}`;
  return rows.map((row) => row.event_id);
}

function unreferenced(tx: Tx) {
  return tx`not exists (select from timeline x where x.event_id = e.event_id)
    and not exists (select from members x where x.event_id = e.event_id)
    and not exists (select from state x where x.event_id = e.event_id)
    and not exists (select from older x where x.event_id = e.event_id)
    and not exists (select from feed_events x where x.event_id = e.event_id)
    and not exists (select from sticky_events x where x.event_id = e.event_id)
    and not exists (select from older_chunks x where x.state::jsonb ? e.event_id)`;
}

/** An own copy of an event that was redacted, or that its account does not refer to. Rows are looked up individually: see byKey. */
function unshown(tx: Tx) {
  return tx`(exists (select from events e where e.event_id = o.event_id and e.pruned ${byKey(tx)})
    or not exists (select from timeline x where x.event_id = o.event_id and x.account = o.account ${byKey(tx)})
    and not exists (select from members x where x.event_id = o.event_id and x.account = o.account ${byKey(tx)})
    and not exists (select from state x where x.event_id = o.event_id and x.account = o.account ${byKey(tx)})
    and not exists (select from older x where x.event_id = o.event_id and x.account = o.account ${byKey(tx)})
    and not exists (select from feed_events x where x.event_id = o.event_id and x.account = o.account ${byKey(tx)})
    and not exists (select from sticky_events x where x.event_id = o.event_id and x.account = o.account ${byKey(tx)})
    and not exists (select from older_chunks x where x.state::jsonb ? o.event_id and x.account = o.account ${byKey(tx)}))`;
}
