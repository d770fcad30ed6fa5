/** The connection pool: value types as the rest of the store expects them, and the only way to run a transaction. */

import postgres from "postgres";
import { types } from "./db-types.ts";
import { SESSION, TRACKED } from "./session-settings.ts";

export type Sql = postgres.Sql<{ bigint: number }>;
export type Tx = postgres.TransactionSql<{ bigint: number }>;
/** Our addition to the driver (patches/): ends the transaction of writeTx, together with what was sent before it. */
type Committing = Tx & { commit(): postgres.PendingQuery<postgres.Row[]> };
/** Anything that runs queries: the pool, or a transaction. */
export type Db = Sql | Tx;

/** The address of PostgreSQL, as postgres.js takes it. */
export type DbOptions = {
  readonly host?: string;
  readonly port?: number;
  readonly path?: string;
  readonly database?: string;
  readonly username?: string;
  readonly password?: string;
  readonly ssl?: "require" | "prefer" | "verify-full" | false;
  readonly connection?: Readonly<Record<string, string>>;
  /** Seconds after which a connection is replaced; null: never. */
  readonly max_lifetime?: number | null;
  /** False: through a pooler in transaction mode, which preserves neither prepared statements nor settings of a connection. Default true. */
  readonly prepare?: boolean;
  /** Request no settings for the session: a pooler in between does not know them. */
  readonly isPlain?: boolean;
};

/** Events of a pool's connections. */
export type ConnectionEvents = {
  /** A connection ended, on either side, or could not be made. */
  readonly onclose?: () => void;
  /** A NOTIFY on a channel that a connection of the pool listens to. */
  readonly onnotify?: (channel: string, payload: string) => void;
};

/** Time between attempts to connect, s. Clients wait for the connection, so the driver's own 20 s would be too long. */
const backoff = (failures: number): number => (0.5 + Math.random() / 2) * Math.min(1, 0.02 * 2 ** failures);

/**
 * A pool of at most `max` connections; nothing is sent before the first query.
 * Statement results: bigint as number, timestamptz as Date, bytea as Buffer.
 */
export function connect(options: DbOptions, max = 10, events: ConnectionEvents = {}): Sql {
  const { connection, isPlain, ...where } = options;
  return postgres({
    ...where,
    ...events,
    max,
    types,
    fetch_types: false,
    // Without prepared statements every query uses the same unnamed one: one that is sent behind another may never be answered by a pooler.
    ...(where.prepare === false && { max_pipeline: 0 }),
    backoff,
    onnotice: () => {},
    connection: { application_name: "syncv3", ...TRACKED, ...(isPlain || where.prepare === false ? {} : SESSION), ...connection },
  });
}

/**
 * Runs `body` in a read-only transaction that sees one moment of the database. The result does not wait for the end of the transaction,
 * because nothing can fail there any more.
 */
export function readTx<T>(sql: Sql, body: (tx: Tx) => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const read = async (tx: postgres.TransactionSql) => resolve(await body(tx as Tx));
    sql.begin("isolation level repeatable read read only", read).catch(reject);
  });
}

/**
 * Ends a lateral subquery that looks up few rows by a key, and makes PostgreSQL do that. Without it PostgreSQL may read all rows of an
 * account and join them: it cannot know how many keys come nor, for a minute after a first sync, how large the account is.
 */
export function byKey(db: Db) {
  return db`offset 0`;
}

/** Sends a transaction's last statements and its end together. Afterwards nothing more can be asked in it. */
export async function commitWith(tx: Tx, queries: readonly postgres.PendingQuery<postgres.Row[]>[]): Promise<void> {
  for (const query of queries) void query.execute();
  await Promise.all([...queries, (tx as Committing).commit()]);
}

/** serialization_failure and deadlock_detected: nothing was done, so the same can simply be run again. */
const PASSING: ReadonlySet<unknown> = new Set(["40001", "40P01"]);
const TRIES = 5;

/**
 * Runs `body` in a read-committed transaction: all of it or nothing. If the database reports a conflict with another transaction, `body`
 * runs again, so it must keep nothing between runs.
 */
export function writeTx<T>(sql: Sql, body: (tx: Tx) => Promise<T>): Promise<T> {
  return untilThrough(() => sql.begin("isolation level read committed", body as (tx: postgres.TransactionSql) => Promise<T>) as Promise<T>);
}

/** The same for a single statement that locks more than one row: it needs no explicit transaction. */
export async function untilThrough<T>(body: () => PromiseLike<T>): Promise<T> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await body();
    } catch (error) {
      const passing = error instanceof Error && "code" in error && PASSING.has(error.code);
      if (!passing || tries === TRIES) throw error;
    }
  }
}
