/** Opens the database for commands that need all servers to be stopped. */

import { wordText } from "../feed/wake-text.ts";
import { type Tx, writeTx } from "../store/db.ts";
import { anyLease } from "../store/leases.ts";
import { announce, COMMAND_NAME } from "./announce.ts";
import type { Maintenance } from "./maintenance.ts";
import { openDatabase } from "./open-database.ts";

/** A server is still running on the database. The message is for the operator. */
export class StillServing extends Error {
  override readonly name = "StillServing";
}

/**
 * Opens the database and runs `body` with a function that runs one transaction. Servers that only answer clients (`-role api`) may still be
 * running; they are notified, and all their waiting requests are evaluated again (T18).
 * @throws StillServing (from that function), and what openDatabase throws
 */
export async function whileStopped<T>(
  maintenance: Maintenance,
  body: (change: <R>(work: (tx: Tx) => Promise<R>) => Promise<R>) => Promise<T>,
): Promise<T> {
  const { settings, logger, say, signal } = maintenance;
  const database = await openDatabase({ ...settings, workers: 1, maxDbConnections: 4 }, logger, say, signal);
  try {
    const done = await body((work) =>
      writeTx(database.sql, async (tx) => {
        const seconds = await anyLease(tx);
        if (seconds === null) return work(tx);
        throw new StillServing(
          `A server is polling with this database, or was killed a moment ago. Stop all servers on it, and try again in ${seconds} s`,
        );
      }),
    );
    await announce(maintenance, database.sql, [wordText(COMMAND_NAME, "*")]);
    return done;
  } finally {
    await database.close();
  }
}
