/** What may be done to a database only while no server runs on it. */

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
 * Opens the database, and runs `body` with a way to do something in one transaction. Servers that only answer clients (`-role api`) may be
 * running: they have every request that waits look again (T18).
 * @throws StillServing (by that way), and what openDatabase throws
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
        throw new StillServing(`A server polls on this database, or was killed a moment ago: stop all of them, and try again in ${seconds} s`);
      }),
    );
    await announce(maintenance, database.sql, [wordText(COMMAND_NAME, "*")]);
    return done;
  } finally {
    await database.close();
  }
}
