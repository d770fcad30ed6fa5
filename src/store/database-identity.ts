/** Which database this is, and whether it is reached in the way it has to be. */

import { randomInt } from "node:crypto";
import { connect, type Db, type DbOptions, type Sql } from "./db.ts";

/** The same for all who use this database, whatever address they use; it changes with a dump and restore. */
export async function databaseIdentity(db: Db): Promise<string> {
  const rows = await db<{ id: string }[]>`
    select system_identifier || '/' || (select oid from pg_database where datname = current_database()) as id from pg_control_system()`;
  return rows[0]?.id ?? "";
}

/** Whether a lock taken over one connection is held in the database that the other one reaches. */
export async function isSameDatabase(here: Sql, there: DbOptions): Promise<boolean> {
  const key = randomInt(2 ** 47);
  const other = connect(there, 1);
  try {
    const [same] = await other.begin(async (tx) => {
      await tx`select pg_advisory_xact_lock(${key}::bigint)`;
      return here<{ same: boolean }[]>`select not pg_try_advisory_xact_lock(${key}::bigint) as same`;
    });
    return same?.same === true;
  } finally {
    await other.end({ timeout: 1 });
  }
}

/** How often it is probed before a pooler that gives every transaction another of many connections is taken for none. */
const ATTEMPTS = 5;

/**
 * Whether a pooler in transaction mode is in between: one connection of ours then reaches several backends, or two reach the same one. A
 * pooler that others keep busy may go unnoticed.
 */
export async function isTransactionPooled(options: DbOptions): Promise<boolean> {
  const [a, b] = [connect({ ...options, prepare: false }, 1), connect({ ...options, prepare: false }, 1)];
  const backendOf = async (sql: Db) => (await sql<{ pid: number }[]>`select pg_backend_pid() as pid`)[0]?.pid;
  try {
    const first = await backendOf(a);
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      // While b keeps its backend for a transaction, a may be given another one.
      const [ofB, ofA] = await b.begin(async (tx) => [await backendOf(tx), await backendOf(a)]);
      if (ofB === first || ofA !== first) return true;
    }
    return false;
  } finally {
    await Promise.all([a.end({ timeout: 1 }), b.end({ timeout: 1 })]);
  }
}
