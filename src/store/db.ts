/** The connection pool: types as the rest of the store expects them, and the one way to run a transaction. */

import postgres from "postgres";
import { types } from "./db-types.ts";
import { SESSION, TRACKED } from "./session-settings.ts";

export type Sql = postgres.Sql<{ bigint: number }>;
export type Tx = postgres.TransactionSql<{ bigint: number }>;
/** Our own addition (patches/): ends the transaction of writeTx, together with what was sent before it. */
type Committing = Tx & { commit(): postgres.PendingQuery<postgres.Row[]> };
/** Something that queries run on: the pool, or a transaction. */
export type Db = Sql | Tx;

/** Where PostgreSQL is: what postgres.js takes. */
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
  /** False: through a pooler in transaction mode, where neither prepared statements nor settings of a connection last. Default true. */
  readonly prepare?: boolean;
  /** Ask for no settings of the session: a pooler stands before PostgreSQL that does not know them. */
  readonly isPlain?: boolean;
};

/** What a pool is told of its connections. */
export type ConnectionEvents = {
  /** A connection ended, whoever ended it, or could not be made. */
  readonly onclose?: () => void;
  /** A NOTIFY of a channel that a connection of the pool listens to. */
  readonly onnotify?: (channel: string, payload: string) => void;
};

/** Between attempts to connect, s: as long as clients wait for it, the driver's own 20 s are out of place. */
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
    backoff,
    onnotice: () => {},
    connection: { application_name: "syncv3", ...TRACKED, ...(isPlain || where.prepare === false ? {} : SESSION), ...connection },
  });
}

/**
 * Runs `body` in a transaction that sees one moment of the database and writes nothing. What `body` returns is not kept waiting for the
 * transaction's end: there is nothing that could still go wrong with it.
 */
export function readTx<T>(sql: Sql, body: (tx: Tx) => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const read = async (tx: postgres.TransactionSql) => resolve(await body(tx as Tx));
    sql.begin("isolation level repeatable read read only", read).catch(reject);
  });
}

/**
 * Ends a lateral subquery that looks up few rows by a key: PostgreSQL then does so. By itself it may rather read all that an account has, and
 * join that: how many keys come it cannot know, nor, for a minute after a first sync, how large the account is.
 */
export function byKey(db: Db) {
  return db`offset 0`;
}

/** Sends a transaction's last statements and its end in one go. Afterwards it is over: nothing more can be asked in it. */
export async function commitWith(tx: Tx, queries: readonly postgres.PendingQuery<postgres.Row[]>[]): Promise<void> {
  for (const query of queries) void query.execute();
  await Promise.all([...queries, (tx as Committing).commit()]);
}

/** serialization_failure and deadlock_detected: nothing was done, and the same again will do. */
const PASSING: ReadonlySet<unknown> = new Set(["40001", "40P01"]);
const TRIES = 5;

/**
 * Runs `body` in a read-committed transaction: all of it or nothing. Where the database says that it got in the way of another
 * transaction it runs anew, so `body` keeps nothing between runs.
 */
export function writeTx<T>(sql: Sql, body: (tx: Tx) => Promise<T>): Promise<T> {
  return untilThrough(() => sql.begin("isolation level read committed", body as (tx: postgres.TransactionSql) => Promise<T>) as Promise<T>);
}

/** The same for one statement that locks more than one row: no transaction has to be opened for it. */
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
