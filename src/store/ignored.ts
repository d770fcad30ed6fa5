/** The users whom an account ignores, from accounts.ignored. */

import { type AccountNo, isStorable, type UserId } from "../wire/ids.ts";
import type { Db } from "./db.ts";

/**
 * Reads the column, a JSON list of index keys (wire/index-key.ts). Older versions stored every key of m.ignored_user_list unchanged; a key
 * with a NUL or a lone surrogate is not a text to PostgreSQL, and every query with it as a parameter would fail.
 */
export function parseIgnored(text: string): UserId[] {
  const users = JSON.parse(text) as UserId[];
  return text.includes("\\u") ? users.filter(isStorable) : users;
}

/** Nobody if the account is not stored any more. */
export async function readIgnored(db: Db, account: AccountNo): Promise<UserId[]> {
  const [row] = await db<{ ignored: string }[]>`select ignored from accounts where account = ${account}`;
  return row ? parseIgnored(row.ignored) : [];
}
