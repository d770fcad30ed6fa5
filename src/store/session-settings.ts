/**
 * Settings of a role, a database or a server that our statements depend on (N9). Each connection requests the right ones when it is made,
 * which overrides those of role and database.
 */

/** Requested wherever a connection's settings last. */
export const SESSION: Readonly<Record<string, string>> = {
  // Each statement looks up few rows by keys: its plan is the same whatever the values are. Planning it from scratch, or compiling it, takes longer
  // than running it.
  plan_cache_mode: "force_generic_plan",
  jit: "off",
  // A process that hangs in the middle of a transaction would block everyone who needs its locks.
  idle_in_transaction_session_timeout: "60000",
  // A first sync and retention's jobs may run long; requests have time-outs of their own.
  statement_timeout: "0",
  lock_timeout: "0",
  default_transaction_isolation: "read committed",
  array_nulls: "on",
  transform_null_equals: "off",
};

/** PgBouncer preserves these per client in either mode, so they can be requested through it, too. */
export const TRACKED = { DateStyle: "ISO, MDY", TimeZone: "UTC", standard_conforming_strings: "on" } as const;
