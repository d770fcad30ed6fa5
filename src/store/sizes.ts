/** How much is stored, for metrics: cheap, whatever the amount. */

import type { Db } from "./db.ts";

/** All of the database on disk, its indexes too. */
export async function databaseBytes(db: Db): Promise<number> {
  const [row] = await db<{ bytes: number }[]>`select pg_database_size(current_database()) as bytes`;
  return row?.bytes ?? 0;
}

/** The rows of a table, from PostgreSQL's statistics of inserts and deletions. */
export async function estimatedRows(db: Db, table: "to_device" | "accounts" | "sessions" | "poison"): Promise<number> {
  const [row] = await db<{ rows: number }[]>`select n_live_tup as rows from pg_stat_user_tables where relname = ${table}`;
  return row?.rows ?? 0;
}
