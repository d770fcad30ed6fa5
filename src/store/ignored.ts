/** Whom an account ignores, as accounts.ignored has it. */

import { isStorable, type UserId } from "../wire/ids.ts";

/**
 * Reads the column, a JSON list of index keys (wire/index-key.ts). Older versions stored every key of m.ignored_user_list as it was; one with a
 * NUL or a lone surrogate is no text to PostgreSQL, and would have every query that names it fail.
 */
export function parseIgnored(text: string): UserId[] {
  const users = JSON.parse(text) as UserId[];
  return text.includes("\\u") ? users.filter(isStorable) : users;
}
