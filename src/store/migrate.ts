/** Brings the database to this version's schema: the files of sql/, in order, each once. */

import { readdir } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { fileURLToPath } from "node:url";

import { PG_MIGRATE_LOCK_ID, runner } from "node-pg-migrate";
import pg from "pg";

import type { Logger } from "../base/logger.ts";
import type { DbOptions } from "./db.ts";

/** The migrations that come with this package. */
const MIGRATIONS = fileURLToPath(new URL("../../sql", import.meta.url));

/**
 * Neutralises settings of role, database and server that would disturb a migration (N9), for its transaction alone, so that it works through
 * any pooler.
 */
const LIKE_NONE = `
  select set_config(name, value, true)
  from (values ('statement_timeout', '0'), ('lock_timeout', '0'), ('transaction_timeout', '0'), ('idle_in_transaction_session_timeout', '0'),
    ('standard_conforming_strings', 'on'), ('array_nulls', 'on'), ('transform_null_equals', 'off'), ('check_function_bodies', 'on'),
    ('DateStyle', 'ISO, MDY'), ('IntervalStyle', 'postgres'), ('TimeZone', 'UTC'), ('client_min_messages', 'warning')) as w(name, value)
  where name in (select s.name from pg_settings s)`;

/** The database has migrations that this version does not know: a newer version has used it. */
export class NewerDatabase extends Error {
  override readonly name = "NewerDatabase";
  /** Their names. */
  readonly migrations: readonly string[];

  constructor(migrations: readonly string[]) {
    super(`migrations of a newer version have been run: ${migrations.join(", ")}`);
    this.migrations = migrations;
  }
}

/**
 * Runs the migrations that have not run yet, all in one transaction, and gives their names.
 * Of several processes that start together one migrates and the others wait for it (an advisory lock).
 * @throws NewerDatabase; the database's error. Nothing has then been changed.
 */
export async function migrate(options: DbOptions, logger?: Logger, directory: string = MIGRATIONS): Promise<string[]> {
  const client = new pg.Client(clientConfig(options));
  // An error of an idle connection is an event; without a listener it would end the process. The next query throws it.
  client.on("error", () => {});
  await client.connect();
  try {
    // The runner's own lock belongs to the session, and a pooler in transaction mode would leave it with its next client. For the same reason the
    // runner's transaction is a part of this one.
    await client.query("begin isolation level read committed read write");
    // A statement of its own, and the first one, because the others read a catalogue.
    await client.query("set local statement_timeout = 0");
    await client.query(LIKE_NONE);
    await client.query("select pg_advisory_xact_lock($1)", [PG_MIGRATE_LOCK_ID]);
    await refuseNewer(client, directory);
    const done = await runner({
      dbClient: client,
      dir: directory,
      // schema.sql, next to the migrations, is the schema after all of them, for readers and a test.
      ignorePattern: "(\\..*|schema\\.sql)",
      migrationsTable: "migrations",
      direction: "up",
      count: Infinity,
      singleTransaction: true,
      noLock: true,
      logger: {
        debug: (text) => logger?.trace(text),
        info: (text) => logger?.trace(text),
        warn: (text) => logger?.warn(text),
        error: (text) => logger?.error(text),
      },
    });
    // If there was nothing to do, the transaction is still open.
    await client.query("commit");
    return done.map((migration) => migration.name);
  } finally {
    await client.end();
  }
}

async function refuseNewer(client: pg.Client, directory: string): Promise<void> {
  const { rows: tables } = await client.query("select to_regclass('migrations') is not null as found");
  if (!(tables[0] as { found: boolean }).found) return;
  const { rows } = await client.query("select name from migrations order by id");
  const known = new Set((await readdir(directory)).map((name) => name.replace(/\.sql$/, "")));
  const unknown = (rows as { name: string }[]).map(({ name }) => name).filter((name) => !known.has(name));
  if (unknown.length > 0) throw new NewerDatabase(unknown);
}

/** The same address in the terms of the `pg` package, which the migrations run on. */
function clientConfig(options: DbOptions): pg.ClientConfig {
  const port = options.path === undefined ? options.port : Number(basename(options.path).split(".").at(-1));
  const host = options.path === undefined ? options.host : dirname(options.path);
  return {
    ...(host === undefined ? {} : { host }),
    ...(port === undefined ? {} : { port }),
    ...(options.database === undefined ? {} : { database: options.database }),
    ...(options.username === undefined ? {} : { user: options.username }),
    ...(options.password === undefined ? {} : { password: options.password }),
    // `prefer` means no certificate check. If the server has no TLS, `pg` cannot fall back, so TLS is not used at all.
    ssl: options.ssl === "require" ? { rejectUnauthorized: false } : options.ssl === "verify-full",
    application_name: "syncv3 migrate",
    ...(options.connection?.["options"] === undefined ? {} : { options: options.connection["options"] }),
  };
}
