/** How the database server is set up. */

import type { Sql } from "./db.ts";

export type ServerState = {
  /** 180004 for 18.4. */
  readonly version: number;
  readonly encoding: string;
  readonly now: Date;
  /** Clients' connections now, including this one. */
  readonly used: number;
  /** Values as `show` prints them. */
  readonly settings: Readonly<Record<string, string>>;
};

const NAMES = ["fsync", "full_page_writes", "synchronous_commit", "autovacuum", "max_connections", "superuser_reserved_connections"];

export async function readServerState(sql: Sql): Promise<ServerState> {
  const [row] = await sql<Omit<ServerState, "settings">[]>`
    select current_setting('server_version_num')::int as version, current_setting('server_encoding') as encoding, clock_timestamp() as now,
      (select count(*)::int from pg_stat_activity where backend_type = 'client backend') as used`;
  const settings = await sql<{ name: string; setting: string }[]>`select name, setting from pg_settings where name = any(${NAMES})`;
  if (!row) throw new Error("PostgreSQL returned no settings");
  return { ...row, settings: Object.fromEntries(settings.map(({ name, setting }) => [name, setting])) };
}
