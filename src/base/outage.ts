/** Requests outlast a short absence of the database: a restart, a fail-over, a crash. */

import { setTimeout as delay } from "node:timers/promises";
import { databaseAnswer } from "./database-answers.ts";

/** Between tries, ms: doubled from the first to the last. */
const REST_MS = { first: 50, last: 1000 };
/** So long a request waits for the database, ms. */
const PATIENCE_MS = 30_000;

/** Whether an error says that the database cannot just now, not that it was asked for something wrong. */
export function isOutage(error: unknown): boolean {
  return databaseAnswer(error)?.passing === true;
}

/**
 * Runs `body`, and again where the database was away, for at most half a minute. Only for what may be done twice, as a sync may: the same `since` or
 * `pos` gets the same again. It is not run again once `signal` is aborted.
 * @throws what `body` does, also where the database stays away
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
