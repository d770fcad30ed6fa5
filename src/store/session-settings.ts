/**
 * Settings of a role, a database or a server that our statements depend on (N9). Each connection asks for the right ones as it is made, which
 * overrides those of role and database.
 */

/** Asked for wherever a connection's settings last. */
export const SESSION: Readonly<Record<string, string>> = {
  // Each statement looks up few rows by keys: its plan is the same whatever the values are, and to make one from scratch, or to compile it,
  // takes longer than to carry it out.
  plan_cache_mode: "force_generic_plan",
  jit: "off",
  // A process that stands still in the middle of a transaction would keep everybody from what it has locked.
  idle_in_transaction_session_timeout: "60000",
  // A first sync and the jobs of retention take what they take; requests have time-outs of their own.
  // Texts: the driver leaves out the number 0.
  statement_timeout: "0",
  lock_timeout: "0",
  default_transaction_isolation: "read committed",
  array_nulls: "on",
  transform_null_equals: "off",
};

/** PgBouncer keeps these per client in either mode, so they can be asked for through it, too. */
export const TRACKED = { DateStyle: "ISO, MDY", TimeZone: "UTC", standard_conforming_strings: "on" } as const;
