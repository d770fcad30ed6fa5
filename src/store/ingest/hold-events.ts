/** Keeps event bodies from being deleted while a transaction is about to refer to them. */

import type { EventId } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import type { Query } from "./statement.ts";

/**
 * Locks those of the bodies that are there already until the transaction ends, so that retention does not take them for
 * unreferenced meanwhile; those that are not there are the caller's to insert, in a later statement. A body that retention is
 * deleting just now is waited for, and then not there. `key share`, so that neither others who hold nor who prune them wait.
 */
export function holdEvents(tx: Tx, ids: readonly EventId[]): Query[] {
  if (ids.length === 0) return [];
  return [tx`select count(*) from (select from events where event_id = any(${[...ids]}::text[]) order by event_id for key share) held`];
}
