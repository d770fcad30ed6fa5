/** What a client is told where the database failed its request, and what the log tells the operator to do: by what the error calls for. */

import { type Need, needOf, sqlStateOf } from "./database-needs.ts";

export type DatabaseAnswer = {
  /** What the client reads in its 503. Names nothing of ours. */
  readonly client: string;
  /** What the log says, with what to do. */
  readonly operator: string;
  /** Seconds after which the client shall ask again. */
  readonly retryAfter: number;
  /** It passes soon by itself: a request that may be run twice is run again before the client hears of it. */
  readonly passing: boolean;
};

const AWAY = { client: "The database is away: try again", retryAfter: 1, passing: true } as const;
const UNUSABLE = { client: "The database cannot be used at the moment: try again later", retryAfter: 30, passing: false } as const;

const BY_NEED: Readonly<Record<Exclude<Need, "unknown">, DatabaseAnswer>> = {
  connection: { ...AWAY, operator: "The database is away, or has no connection left: look whether PostgreSQL runs, and at its max_connections" },
  shutdown: { ...AWAY, operator: "PostgreSQL is stopping or starting: it passes, unless its log says otherwise" },
  read_only: { ...AWAY, operator: "The database takes no writes: a standby, or default_transaction_read_only is on. Promote it, or turn that off" },
  disk: { ...AWAY, operator: "PostgreSQL cannot write to its disk, or read from it: make room, and see its log" },
  locks: {
    ...AWAY,
    client: "The database is busy: try again",
    passing: false,
    operator: "Somebody else holds a lock for longer than lock_timeout: see pg_stat_activity, and set lock_timeout = 0 for the role",
  },
  serialization: {
    ...AWAY,
    client: "The database is busy: try again",
    passing: false,
    operator: "Transactions got in each other's way again and again",
  },
  rights: { ...UNUSABLE, operator: "The database role lacks a right: it must own the database's tables. Grant them, or let the role own them" },
};

const CANCELLED: DatabaseAnswer = {
  client: "The database took too long: try again",
  retryAfter: 5,
  passing: false,
  operator: "A statement was cancelled: by an operator, or by statement_timeout or transaction_timeout. Set those to 0 for the role",
};
const SCHEMA: DatabaseAnswer = {
  ...UNUSABLE,
  operator:
    "The schema is not this version's: a table, column or function is missing. Was it dropped, is search_path another one, or has another version migrated it? Restart syncv3 to have its migrations run",
};
const RESOURCES: DatabaseAnswer = {
  ...AWAY,
  operator: "PostgreSQL is out of memory or at a limit of its configuration (temp_file_limit, max_locks_per_transaction): see its log",
};
const CORRUPT: DatabaseAnswer = {
  ...UNUSABLE,
  operator: "PostgreSQL found its data or an index corrupted: see its log, reindex, or restore a backup",
};

/** Of errors whose need is unknown, by SQLSTATE: what a fault of the database's state is, and not of what it was asked. */
const BY_STATE: readonly (readonly [RegExp, DatabaseAnswer])[] = [
  [/^57014$|^25P04$/, CANCELLED],
  [/^42(P01|703|883|704|P02)$|^3F000$|^26000$/, SCHEMA],
  [/^53/, RESOURCES],
  [/^XX00[12]$/, CORRUPT],
  [/^55/, { ...UNUSABLE, operator: "The database is not in the state for this: see the code, and PostgreSQL's log" }],
];

/** Null: it is no error of the database, or one of what it was asked. */
export function databaseAnswer(error: unknown): DatabaseAnswer | null {
  const need = needOf(error);
  if (need !== "unknown") return BY_NEED[need];
  const state = sqlStateOf(error);
  return (state !== null && BY_STATE.find(([states]) => states.test(state))?.[1]) || null;
}
