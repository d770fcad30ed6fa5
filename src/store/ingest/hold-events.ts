/** Keeps event bodies from being deleted while a transaction is about to refer to them. */

import type { EventId } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import type { Statement } from "./statement.ts";

/**
 * Before the bodies are inserted: locks those that are there already until the transaction ends, so that retention does not take them for
 * unreferenced meanwhile. A body that retention is deleting just now is waited for, and then not there. `key share`, so that
 * neither others who hold nor who prune them wait.
 */
export function holdEvents(tx: Tx, ids: readonly EventId[]): Statement[] {
  if (ids.length === 0) return [];
  return [tx`select count(*) from (select from events where event_id = any(${[...ids]}::text[]) order by event_id for key share) held`];
}

/**
 * After they were inserted: locks those that somebody else inserted in between, too. Should retention have taken one of these before
 * that, the transaction fails with a serialization failure, and writeTx runs it again. `ids`: each once.
 */
export function keepEvents(tx: Tx, ids: readonly EventId[]): Statement[] {
  return ids.length === 0 ? [] : [tx`select keep_events(${[...ids]}::text[])`];
}
