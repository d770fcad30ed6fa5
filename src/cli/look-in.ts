/** Opens the database for commands that work whether or not a server is running. */

import { connect, type Sql } from "../store/db.ts";
import { checkReady } from "../store/ready.ts";
import { runningDatabase } from "./embedded-database.ts";
import { DatabaseUnusable, openDatabase } from "./open-database.ts";
import type { Maintenance } from "./maintenance.ts";

/**
 * Opens the database of `-db`, or the one that is running in the data directory; otherwise starts the one there.
 * @throws DatabaseUnusable, and what openDatabase throws
 */
export async function lookIn<T>({ settings, logger, say, signal }: Maintenance, body: (sql: Sql) => Promise<T>): Promise<T> {
  const options = settings.db ?? (await runningDatabase(settings.data));
  if (!options) {
    const database = await openDatabase({ ...settings, workers: 1, maxDbConnections: 4 }, logger, say, signal);
    try {
      return await body(database.sql);
    } finally {
      await database.close();
    }
  }
  const sql = connect({ ...options, ...(settings.dbPoolMode === "transaction" && { prepare: false }) }, 4);
  try {
    await checkReady(sql).catch((error: unknown) => {
      throw new DatabaseUnusable(`-db: the database cannot be used: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
    });
    return await body(sql);
  } finally {
    await sql.end({ timeout: 3 });
  }
}
