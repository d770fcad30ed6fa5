/** Checks of a connection's settings: if a pooler does not pass on what we request, the start checks whether they are right anyway (N9). */

import type { Db } from "./db.ts";

/** The shortest time-out that leaves our statements enough time, ms. */
const SHORTEST_TIMEOUT = 10_000;

type Check = { readonly isRight: (value: string) => boolean; readonly wanted: string; readonly why: string };

const is = (wanted: string, why: string): Check => ({ wanted, why, isRight: (value) => value.toLowerCase() === wanted });
const timeout = (why: string): Check => ({
  wanted: "0 or at least 10s",
  why,
  isRight: (value) => Number(value) === 0 || Number(value) >= SHORTEST_TIMEOUT,
});

/** The required settings, however they were set; times as in pg_settings, in ms. */
const CHECKS: Readonly<Record<string, Check>> = {
  array_nulls: is("on", "missing values would be stored as the text NULL"),
  default_transaction_isolation: is("read committed", "concurrent transactions would fail"),
  default_transaction_read_only: is("off", "nothing could be stored"),
  session_replication_role: is("origin", "rows that belong to a deleted row would remain"),
  standard_conforming_strings: is("on", "backslashes in statements would be read as escapes"),
  synchronous_commit: {
    wanted: "on",
    why: "a crash of PostgreSQL would lose messages that the homeserver has deleted already",
    isRight: (value) => value !== "off",
  },
  transform_null_equals: is("off", "comparisons with NULL would give other results"),
  DateStyle: { wanted: "ISO, MDY", why: "times could not be read", isRight: (value) => value.startsWith("ISO") },
  lock_timeout: timeout("storing data waits for locks"),
  statement_timeout: timeout("a first sync takes seconds to store"),
  transaction_timeout: timeout("a first sync takes seconds to store"),
};

export type WrongSetting = { readonly name: string; readonly value: string; readonly wanted: string; readonly why: string };

/** The settings, of a connection like `db`, that would make us work wrongly. */
export async function wrongSettings(db: Db): Promise<WrongSetting[]> {
  const rows = await db<{ name: string; setting: string }[]>`
    select name, setting from pg_settings where name = any(${Object.keys(CHECKS)}::text[]) order by name`;
  return rows.flatMap(({ name, setting }) => {
    const check = CHECKS[name];
    return check === undefined || check.isRight(setting) ? [] : [{ name, value: setting, wanted: check.wanted, why: check.why }];
  });
}

/** If the tables are in another schema of the database that the search path does not find: that schema; otherwise null. */
export async function schemaPastPath(db: Db): Promise<string | null> {
  const [row] = await db<{ schema: string }[]>`
    select n.nspname as schema from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relname = 'migrations' and to_regclass('migrations') is null
      and exists (select from pg_class t where t.relnamespace = n.oid and t.relname = 'to_device_passed')
    limit 1`;
  return row?.schema ?? null;
}
