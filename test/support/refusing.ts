/** A database that refuses some rows, with any SQLSTATE: by triggers. */

import type { Sql } from "../../src/store/db.ts";

/** `when`: SQL about `new`. `code`: SQLSTATE. `on`: default inserts and updates. */
export type Refusal = {
  readonly table: string;
  readonly when: string;
  readonly code: string;
  readonly on?: "insert" | "update" | "insert or update";
};

export async function refuse(sql: Sql, { table, when, code, on = "insert or update" }: Refusal): Promise<void> {
  await sql.unsafe(`
    create or replace function refuse_row() returns trigger language plpgsql as
      $$ begin raise exception 'refused by the test' using errcode = tg_argv[0]; end $$;
    create trigger refused before ${on} on ${table} for each row when (${when}) execute function refuse_row('${code}')`);
}

/** Nothing is refused any more. */
export async function stopRefusing(sql: Sql): Promise<void> {
  const triggers = await sql<{ table: string }[]>`select tgrelid::regclass::text as table from pg_trigger where tgname = 'refused'`;
  for (const { table } of triggers) {
    // oxlint-disable-next-line no-await-in-loop
    await sql.unsafe(`drop trigger refused on ${table}`);
  }
}
