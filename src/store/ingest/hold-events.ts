/** Protects event bodies from deletion while a transaction is about to refer to them. */

import type { EventId } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import type { Statement } from "./statement.ts";

/**
 * Before the bodies are inserted: locks the existing ones until the transaction ends, so that retention does not take them for unreferenced
 * meanwhile. It waits for a body that retention is deleting at the moment, and then does not find it. `key share`, so that neither other
 * such transactions nor those that prune bodies wait.
 */
export function holdEvents(tx: Tx, ids: readonly EventId[]): Statement[] {
  if (ids.length === 0) return [];
  return [tx`select count(*) from (select from events where event_id = any(${[...ids]}::text[]) order by event_id for key share) held`];
}

/**
 * After the insert: also locks those that another transaction inserted in between. If retention deleted one of these before that, the
 * transaction fails with a serialization failure, and writeTx runs it again. So it does if a body that is not pruned has not the given hash
 * (bodies.ts; null: any). `events`: without duplicates.
 */
export function keepEvents(tx: Tx, events: readonly { readonly event_id: EventId; readonly hash: string | null }[]): Statement[] {
  if (events.length === 0) return [];
  return [tx`select keep_events(${events.map(({ event_id }) => event_id)}::text[], ${events.map(({ hash }) => hash)}::text[])`];
}
