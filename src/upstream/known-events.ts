/** Whether a homeserver still has what an account has stored: after a restore from a backup it has not (T3). */

import type { Sql } from "../store/db.ts";
import { newestOfAll } from "../store/timeline.ts";
import type { AccountNo } from "../wire/ids.ts";
import type { HomeserverClient } from "./client.ts";
import { isNotThere } from "./upstream-error.ts";

/** How many events are asked for. */
const PROBES = 5;

/**
 * Asks for the account's newest stored events one by one. True: the homeserver knows one of them, or nothing is stored.
 * @throws UpstreamError for any other answer than 200, 403 and 404
 */
export async function knowsAny(
  { sql, client }: { readonly sql: Sql; readonly client: Pick<HomeserverClient, "event"> },
  account: AccountNo,
  token: string,
  signal: AbortSignal,
): Promise<boolean> {
  const events = await newestOfAll(sql, account, PROBES);
  for (const { room_id, event_id } of events) {
    try {
      // oxlint-disable-next-line no-await-in-loop -- the first known one ends it
      await client.event(token, room_id, event_id, signal);
      return true;
    } catch (error) {
      if (!isNotThere(error)) throw error;
    }
  }
  return events.length === 0;
}
