/** Finds the parts that cannot be stored, by trying in transactions that are rolled back (N3). */

import { needOf } from "../../base/database-needs.ts";
import { type Sql, type Tx, writeTx } from "../../store/db.ts";

/** Most transactions that are tried: parts that have not been cleared by then count as bad. */
const MOST_TRIALS = 200;

/** Rolls back a trial. */
class Undone extends Error {}

/**
 * Whether `body` succeeds. Its effects are rolled back.
 * @throws the database's error if it says nothing about what was to be stored
 */
export async function fits(sql: Sql, body: (tx: Tx) => Promise<unknown>): Promise<boolean> {
  try {
    await writeTx(sql, async (tx) => {
      await body(tx);
      throw new Undone();
    });
    return false;
  } catch (error) {
    if (error instanceof Undone) return true;
    if (needOf(error) !== "unknown") throw error;
    return false;
  }
}

/**
 * The parts that can be stored together, and the others. `holds` returns whether a set can be stored. With b bad ones of n it takes about b
 * log2 n trials.
 */
export async function separate<Part>(
  parts: readonly Part[],
  holds: (keep: ReadonlySet<Part>) => Promise<boolean>,
): Promise<{ good: ReadonlySet<Part>; bad: readonly Part[] }> {
  const good = new Set<Part>();
  const bad: Part[] = [];
  let trials = 0;
  const waiting: (readonly Part[])[] = [parts];
  for (let next = waiting.pop(); next; next = waiting.pop()) {
    if (next.length === 0) continue;
    trials += 1;
    // oxlint-disable-next-line no-await-in-loop -- each trial builds on those before
    if (trials <= MOST_TRIALS && (await holds(good.union(new Set(next))))) {
      for (const part of next) good.add(part);
    } else if (next.length === 1 || trials > MOST_TRIALS) bad.push(...next);
    else {
      const middle = Math.ceil(next.length / 2);
      waiting.push(next.slice(middle), next.slice(0, middle));
    }
  }
  return { good, bad };
}
