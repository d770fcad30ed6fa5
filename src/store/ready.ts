/** Whether the database is ready: reachable, with this version's schema. */

import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { Db } from "./db.ts";

const MIGRATIONS = fileURLToPath(new URL("../../sql", import.meta.url));

/** Rejects with the database's error, or where migrations of this version have not run yet. */
export async function checkReady(db: Db): Promise<void> {
  const wanted = (await readdir(MIGRATIONS)).filter((name) => /^\d.*\.sql$/.test(name)).map((name) => name.slice(0, -".sql".length));
  const rows = await db<{ name: string }[]>`select name from migrations`;
  const done = new Set(rows.map(({ name }) => name));
  const missing = wanted.filter((name) => !done.has(name));
  if (missing.length > 0) throw new Error(`not migrated: ${missing.join(", ")}`);
}
