/** The steps of retention: short transactions, by one process at a time. It may stop after any of them. */

import type { Sql, Tx } from "../db.ts";
import { writeTx } from "../db.ts";

/** Another process is running retention. */
export class RetentionBusy extends Error {
  constructor() {
    super("another process is running retention");
    this.name = "RetentionBusy";
  }
}

/** Most rows that one transaction deletes: some tens of milliseconds. */
export const BATCH_ROWS = 2000;

/**
 * Runs `body` in a transaction that no other process's step overlaps. If one would, that other process does the work. The lock belongs to
 * the transaction, not to the connection: it works behind a transaction pooler, and ends with a crash.
 * @throws RetentionBusy
 */
export function retentionStep<T>(sql: Sql, body: (tx: Tx) => Promise<T>): Promise<T> {
  return writeTx(sql, async (tx) => {
    const [row] = await tx<{ locked: boolean }[]>`select pg_try_advisory_xact_lock(hashtextextended('syncv3 retention', 0)) as locked`;
    if (row?.locked !== true) throw new RetentionBusy();
    return body(tx);
  });
}

/** Repeats a step that returns how many rows it deleted, until it deletes fewer than `batch` or `signal` aborts. Returns the sum. */
export async function inBatches(sql: Sql, signal: AbortSignal, step: (tx: Tx) => Promise<number>, batch = BATCH_ROWS): Promise<number> {
  let sum = 0;
  for (;;) {
    signal.throwIfAborted();
    const count = await retentionStep(sql, step);
    sum += count;
    if (count < batch) return sum;
  }
}

/** `at` minus a span, ms. */
export function before(at: Date, spanMs: number): Date {
  return new Date(at.getTime() - spanMs);
}

/** The database's clock: the rows that retention checks are dated by it. */
export async function databaseTime(sql: Sql): Promise<Date> {
  const [row] = await sql<{ at: Date }[]>`select now() as at`;
  if (!row) throw new Error("no row was returned");
  return row.at;
}
