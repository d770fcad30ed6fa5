/** A database of its own for a test. */

import { randomBytes } from "node:crypto";
import { basename, dirname } from "node:path";

import { inject } from "vitest";

import { connect, type DbOptions, type Sql } from "../../src/store/db.ts";

export type TestDatabase = {
  readonly sql: Sql;
  readonly options: DbOptions;
  /** The same for `-db`: libpq's keyword form. */
  readonly dsn: string;
  /** Closes `sql` and removes the database, whoever is still connected. */
  drop(): Promise<void>;
};

/**
 * A new database with the schema and no rows (a copy of the run's migrated template); `empty`: without the schema.
 * Only in `.pg.test.ts` and `.e2e.test.ts` files.
 */
export async function freshDatabase(empty = false): Promise<TestDatabase> {
  const { options: server, template } = inject("database");
  const database = `syncv3_test_${randomBytes(6).toString("hex")}`;
  await run(server, `create database ${database} template ${empty ? "template0" : template}`);
  const options = { ...server, database };
  const sql = connect(options);
  return {
    sql,
    options,
    dsn: dsnOf(options),
    drop: async () => {
      await sql.end({ timeout: 1 });
      await run(server, `drop database ${database} with (force)`);
    },
  };
}

/** Another one after each other: PostgreSQL refuses to copy a template that somebody is connected to. */
async function run(server: DbOptions, statement: string): Promise<void> {
  const sql = connect(server, 1);
  try {
    await sql.unsafe(statement);
  } finally {
    await sql.end();
  }
}

function dsnOf(options: DbOptions): string {
  const parts = {
    host: options.path === undefined ? options.host : dirname(options.path),
    port: options.path === undefined ? options.port : basename(options.path).split(".").at(-1),
    user: options.username,
    password: options.password,
    dbname: options.database,
    sslmode: options.ssl === undefined || options.ssl === false ? "disable" : options.ssl,
  };
  return Object.entries(parts)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => `${key}='${String(value).replace(/['\\]/g, "\\$&")}'`)
    .join(" ");
}
