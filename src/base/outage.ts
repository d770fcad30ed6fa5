/** Requests survive a short absence of the database: a restart, a fail-over, a crash. */

import { setTimeout as delay } from "node:timers/promises";
import { databaseAnswer } from "./database-answers.ts";

/** Between tries, ms: doubles from the first value to the last. */
const REST_MS = { first: 50, last: 1000 };
/** The longest that a request waits for the database, ms. */
const PATIENCE_MS = 30_000;

/** Whether an error means that the database is unable to serve at present, and not that the statement was wrong. */
export function isOutage(error: unknown): boolean {
  return databaseAnswer(error)?.passing === true;
}

/**
 * Runs `body`, and again while the database is away, for at most half a minute. Only for operations that may be repeated, as a sync may: the
 * same `since` or `pos` gets the same answer. It is not run again once `signal` is aborted.
 * @throws what `body` throws, also when the database stays away
 */
export async function throughOutage<T>(body: () => Promise<T>, signal: AbortSignal, patienceMs = PATIENCE_MS): Promise<T> {
  const deadline = performance.now() + patienceMs;
  for (let rest = REST_MS.first; ; rest = Math.min(REST_MS.last, rest * 2)) {
    try {
      return await body();
    } catch (error) {
      if (!isOutage(error) || signal.aborted || performance.now() + rest > deadline) throw error;
    }
    await delay(rest, undefined, { signal }).catch(() => {});
  }
}
