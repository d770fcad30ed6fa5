/**
 * What a database error calls for. One table, from SQLSTATEs (PostgreSQL's appendix "Error Codes") and the codes of the driver and the
 * operating system, so that no other module needs a list of codes.
 */

/**
 * What has to change before the same statement can succeed.
 * - connection: there is none, it broke, or none is free; also name resolution, TLS, and a session that a server time-out ended.
 * - disk: the disk is full, or reading or writing files failed.
 * - locks: another transaction holds a lock for longer than `lock_timeout`, or uses an object.
 * - rights: the role may not do this, or may not log in.
 * - read_only: a standby that is not promoted yet, or a database or role that was set read-only.
 * - shutdown: PostgreSQL is starting, stopping, or recovering from a crash.
 * - serialization: a conflict with another transaction; nothing was done, and trying again is enough.
 * - unknown: none of these. The cause may be the statement, its values, or the database's schema; the code does not tell which.
 */
export type DatabaseNeed = "connection" | "disk" | "locks" | "rights" | "read_only" | "shutdown" | "serialization" | "unknown";

/** By SQLSTATE; codes that are not listed are looked up by class. */
const BY_STATE: Readonly<Record<string, DatabaseNeed>> = {
  "25006": "read_only",
  "25P03": "connection", // idle_in_transaction_session_timeout
  "40002": "unknown", // a constraint that is checked at the commit
  "40003": "connection", // statement_completion_unknown
  "42501": "rights",
  "53100": "disk",
  "53300": "connection", // too_many_connections
  "55006": "locks", // object_in_use
  "55P03": "locks", // lock_not_available
  "57014": "unknown", // query_canceled: by an operator, or by a time-out that a slow database or an enormous statement ran into
  "57P05": "connection", // idle_session_timeout
  "72000": "serialization", // snapshot_too_old, up to PostgreSQL 16
};

/** By class, the first two characters of a SQLSTATE. PgBouncer reports every failure between itself and PostgreSQL as 08P01. */
const BY_CLASS: Readonly<Record<string, DatabaseNeed>> = {
  "08": "connection",
  "28": "rights",
  "3D": "connection", // no such database
  "40": "serialization",
  "57": "shutdown",
  "58": "disk",
};

/** No SQLSTATE class begins with an E, but five-letter names of the operating system (EPIPE) do. */
const SQLSTATE = /^[0-9A-DF-Z][0-9A-Z]{4}$/;
/** postgres.js (CONNECTION_CLOSED …, CONNECT_TIMEOUT, SASL_…) and Node's TLS. */
const CONNECTING =
  /^(CONNECT(ION)?_|SASL_|ERR_(SSL|TLS|SOCKET|STREAM)_|CERT_|CRL_|DEPTH_ZERO_|SELF_SIGNED_|UNABLE_TO_|INVALID_CA$|HOSTNAME_MISMATCH$)/;
/** Names of the operating system and the resolver: ECONNREFUSED, ENOENT of a socket, EAI_AGAIN. */
const SYSTEM = /^E(?!RR_)[A-Z0-9_]+$/;

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

/** The SQLSTATE of PostgreSQL's or a pooler's error; null: none. */
export function sqlStateOf(error: unknown): string | null {
  const code = codeOf(error);
  return SQLSTATE.test(code) ? code : null;
}

/**
 * What the error of a database call calls for (N3, N8). Unless it is "unknown", the statement and its values are not to blame: wait, and run
 * it again. Use it only for errors thrown by a database call; an error of a request to the homeserver may have the same codes
 * (ECONNREFUSED).
 */
export function needOf(error: unknown): DatabaseNeed {
  const code = codeOf(error);
  if (SQLSTATE.test(code)) return BY_STATE[code] ?? BY_CLASS[code.slice(0, 2)] ?? "unknown";
  return CONNECTING.test(code) || SYSTEM.test(code) ? "connection" : "unknown";
}

/** Whether the database could not be reached: it is starting or stopping, or the connection broke or could not be made. Same caveat as `needOf`. */
export function isAway(error: unknown): boolean {
  const need = needOf(error);
  return need === "connection" || need === "shutdown";
}
