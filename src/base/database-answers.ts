/** What a client is told when the database failed its request, and what the log tells the operator to do, by what the error calls for. */

import { type DatabaseNeed, needOf, sqlStateOf } from "./database-needs.ts";

export type DatabaseAnswer = {
  /** The text of the client's 503. It reveals nothing about our setup. */
  readonly client: string;
  /** The log message, with what to do. */
  readonly operator: string;
  /** Seconds after which the client should ask again. */
  readonly retryAfter: number;
  /** It passes soon without intervention: a request that is safe to repeat is run again before the client gets an error. */
  readonly passing: boolean;
};

const AWAY = { client: "The database is away: try again", retryAfter: 1, passing: true } as const;
const UNUSABLE = { client: "The database cannot be used at the moment: try again later", retryAfter: 30, passing: false } as const;

const BY_NEED: Readonly<Record<Exclude<DatabaseNeed, "unknown">, DatabaseAnswer>> = {
  connection: {
    ...AWAY,
    operator: "The database is unreachable or has no free connection: check that PostgreSQL is running, and check its max_connections",
  },
  shutdown: { ...AWAY, operator: "PostgreSQL is stopping or starting: this passes by itself, unless its log says otherwise" },
  read_only: {
    ...AWAY,
    operator: "The database is read-only: it is a standby, or default_transaction_read_only is on. Promote it, or turn the setting off",
  },
  disk: { ...AWAY, operator: "PostgreSQL cannot read or write its disk: free some space, and see its log" },
  locks: {
    ...AWAY,
    client: "The database is busy: try again",
    passing: false,
    operator: "Another session held a lock for longer than lock_timeout: see pg_stat_activity, and set lock_timeout = 0 for the role",
  },
  serialization: {
    ...AWAY,
    client: "The database is busy: try again",
    passing: false,
    operator: "Transactions conflicted with each other again and again",
  },
  rights: { ...UNUSABLE, operator: "The database role lacks a privilege: it must own the tables. Grant the privileges, or make the role the owner" },
};

const CANCELLED: DatabaseAnswer = {
  client: "The database took too long: try again",
  retryAfter: 5,
  passing: false,
  operator: "A statement was cancelled by an administrator, statement_timeout or transaction_timeout. Set these timeouts to 0 for the role",
};
const SCHEMA: DatabaseAnswer = {
  ...UNUSABLE,
  operator:
    "The database schema is not that of this version: a table, column or function is missing. Check whether it was dropped, search_path was changed, or another version migrated it. Restart syncv3 to run its migrations",
};
const RESOURCES: DatabaseAnswer = {
  ...AWAY,
  operator: "PostgreSQL is out of memory or at a limit of its configuration (temp_file_limit, max_locks_per_transaction): see its log",
};
const CORRUPT: DatabaseAnswer = {
  ...UNUSABLE,
  operator: "PostgreSQL found corrupted data or a corrupted index: see its log, run REINDEX, or restore a backup",
};

/** By SQLSTATE, for errors whose need is unknown: those caused by the database's state, not by the statement. */
const BY_STATE: readonly (readonly [RegExp, DatabaseAnswer])[] = [
  [/^57014$|^25P04$/, CANCELLED],
  [/^42(P01|703|883|704|P02)$|^3F000$|^26000$/, SCHEMA],
  [/^53/, RESOURCES],
  [/^XX00[12]$/, CORRUPT],
  [/^55/, { ...UNUSABLE, operator: "The database is in a state that does not allow this: see the error code, and PostgreSQL's log" }],
];

/** Null: not a database error, or one caused by the statement. */
export function databaseAnswer(error: unknown): DatabaseAnswer | null {
  const need = needOf(error);
  if (need !== "unknown") return BY_NEED[need];
  const state = sqlStateOf(error);
  return (state !== null && BY_STATE.find(([states]) => states.test(state))?.[1]) || null;
}
