/** Opens the database of `-db` or the embedded one, checks it, and migrates it to this version's schema. */

import type { Logger } from "../base/logger.ts";
import type { Settings } from "../config/options.ts";
import { isSameDatabase, isTransactionPooled } from "../store/database-identity.ts";
import { connect, type DbOptions, type Sql } from "../store/db.ts";
import { schemaPastPath, wrongSettings } from "../store/setting-checks.ts";
import { migrate, NewerDatabase } from "../store/migrate.ts";
import { startEmbeddedDatabase } from "./embedded-database.ts";

export const OLDEST_VERSION = 13;

/** The database cannot be used. The message is for the operator. */
export class DatabaseUnusable extends Error {
  override readonly name = "DatabaseUnusable";
}

export type OpenDatabase = {
  readonly sql: Sql;
  readonly options: DbOptions;
  /** The address at which LISTEN and session locks work; null: there is none. */
  readonly direct: DbOptions | null;
  /** The version and the address, for the operator. */
  readonly description: string;
  /** Fulfilled if the database ends for good. */
  readonly failed: Promise<Error>;
  close(): Promise<void>;
};

/** The most connections of a process besides its pool: wake-ups in and out, the lock that shows that it is alive, positions that do not wait for the disk. */
const MORE_CONNECTIONS = 5;
/** Connections for migrations and for the operator. */
const SPARE_CONNECTIONS = 25;

/** @throws DatabaseUnusable, and what startEmbeddedDatabase throws */
export async function openDatabase(
  settings: Pick<Settings, "db" | "dbPoolMode" | "dbDirect" | "data" | "workers" | "maxDbConnections">,
  logger: Logger,
  say: (line: string) => void,
  signal: AbortSignal,
): Promise<OpenDatabase> {
  const embedded =
    settings.db === undefined
      ? await startEmbeddedDatabase({
          directory: settings.data,
          settings: { max_connections: String(Math.max(100, SPARE_CONNECTIONS + settings.workers * (settings.maxDbConnections + MORE_CONNECTIONS))) },
          logger,
          signal,
          onProgress: say,
        })
      : undefined;
  const isTransactionMode = settings.db !== undefined && settings.dbPoolMode === "transaction";
  const named = { ...(settings.db ?? embedded?.options), ...(isTransactionMode && { prepare: false }) };
  const options = settings.db === undefined ? named : await withSettings(named);
  const direct = settings.dbDirect ?? (isTransactionMode ? null : options);
  const sql = connect(options, settings.maxDbConnections);
  const close = async (): Promise<void> => {
    await sql.end({ timeout: 3 });
    await embedded?.stop();
  };
  try {
    const version = await versionOf(sql, options);
    if (settings.db !== undefined) {
      await checkSettings(sql, options);
      await checkWays(sql, options, direct);
    }
    const done = await migrate(direct ?? options, logger).catch((error: unknown) => {
      if (!(error instanceof NewerDatabase)) throw error;
      const names = error.migrations.join(", ");
      throw new DatabaseUnusable(`A newer syncv3 has used this database (${names}). Run that version, or restore a backup from before the upgrade`, {
        cause: error,
      });
    });
    if (done.length > 0) logger.info({ migrations: done }, "Migrated the database");
    const where = embedded === undefined ? whereOf(options) : `in ${settings.data}`;
    return { sql, options, direct, description: `PostgreSQL ${version} ${where}`, failed: embedded?.failed ?? new Promise(() => {}), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function versionOf(sql: Sql, options: DbOptions): Promise<number> {
  let found: number;
  try {
    const [row] = await sql`select current_setting('server_version_num')::int / 10000 as major`;
    found = Number(row?.["major"]);
  } catch (error) {
    throw new DatabaseUnusable(`-db: cannot connect to PostgreSQL ${whereOf(options)}: ${reasonOf(error)}`, { cause: error });
  }
  if (found < OLDEST_VERSION) throw new DatabaseUnusable(`-db: PostgreSQL ${found} is too old. Use version ${OLDEST_VERSION} or later`);
  return found;
}

/** Checks that the connections to the database behave as the settings say. Otherwise LISTEN and locks would fail later, and silently. */
async function checkWays(sql: Sql, options: DbOptions, direct: DbOptions | null): Promise<void> {
  if (options.prepare !== false && (await isTransactionPooled(options))) {
    throw new DatabaseUnusable(
      "-db: there is a pooler in transaction mode in front of PostgreSQL. Give -db-pool-mode transaction, and -db-direct or -bus, or set the pooler to session mode",
    );
  }
  if (direct === null || direct === options) return;
  let isSame: boolean;
  try {
    isSame = await isSameDatabase(sql, direct);
  } catch (error) {
    throw new DatabaseUnusable(`-db-direct: cannot connect to PostgreSQL ${whereOf(direct)}: ${reasonOf(error)}`, { cause: error });
  }
  if (!isSame) throw new DatabaseUnusable("-db-direct: this is not the database of -db. Give the same database without the pooler");
  if (await isTransactionPooled(direct))
    throw new DatabaseUnusable("-db-direct: here too there is a pooler in transaction mode. Give PostgreSQL's own address");
}

/**
 * Adjusts how to connect: without our settings if a pooler refuses them, and with `synchronous_commit` on if commits would not wait for the
 * disk. A connection error is ignored here, because the next connection reports it.
 */
async function withSettings(options: DbOptions): Promise<DbOptions> {
  const ask = async (as: DbOptions): Promise<DbOptions> => {
    const sql = connect(as, 1);
    try {
      const [row] = await sql<{ commits: string }[]>`select current_setting('synchronous_commit') as commits`;
      if (row?.commits !== "off" || as.isPlain || as.prepare === false) return as;
      return { ...as, connection: { ...as.connection, synchronous_commit: "on" } };
    } finally {
      await sql.end({ timeout: 1 });
    }
  };
  try {
    return await ask(options);
  } catch (error) {
    const isRefused = error instanceof Error && error.message.includes("unsupported startup parameter");
    return isRefused ? ask({ ...options, isPlain: true }).catch(() => options) : options;
  }
}

/** N9: checks the settings that matter, whatever their source. Settings that we could ask for are right already. */
async function checkSettings(sql: Sql, options: DbOptions): Promise<void> {
  const schema = await schemaPastPath(sql);
  if (schema !== null) {
    throw new DatabaseUnusable(
      `-db: search_path does not include the schema ${schema}, which has the tables. Set it for the role: alter role … set search_path = …`,
    );
  }
  const wrong = await wrongSettings(sql);
  if (wrong.length === 0) return;
  const all = wrong.map(({ name, value, wanted, why }) => `${name} is ${value} and must be ${wanted} (${why})`).join("; ");
  const role = options.username === undefined ? "the role" : JSON.stringify(options.username);
  throw new DatabaseUnusable(`-db: PostgreSQL settings must be changed: ${all}. Set them for ${role}: alter role … set …`);
}

function reasonOf(error: unknown): string {
  return error instanceof AggregateError ? String(error.errors[0]) : error instanceof Error ? error.message : String(error);
}

function whereOf(options: DbOptions): string {
  return `at ${options.path ?? `${options.host ?? "localhost"}:${options.port ?? 5432}`}, database ${options.database ?? ""}`;
}
