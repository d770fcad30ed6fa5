/**
 * Presence is polled only while somebody asks for it. When that begins, the homeserver is asked once for what the polls before did not ask for: for
 * everybody's presence, or, if some is stored, for what changed since then. Afterwards the polls bring the changes.
 */

import type { Logger } from "../base/logger.ts";
import type { Feed } from "../feed/hub.ts";
import type { Sql } from "../store/db.ts";
import { presenceStart, storeMissedPresence } from "../store/presence.ts";
import type { AccountNo } from "../wire/ids.ts";
import { cutResponse } from "../wire/v2-response.ts";
import type { HomeserverAnswer, HomeserverClient } from "./client.ts";
import { UpstreamError } from "./upstream-error.ts";
import { PRESENCE_FILTER } from "./v2-filter.ts";

export type MissedPresenceDeps = {
  readonly sql: Sql;
  readonly client: Pick<HomeserverClient, "sync">;
  readonly feed: Pick<Feed, "publish">;
  readonly logger: Pick<Logger, "info">;
};

/** The account whose rooms are polled; `since`: from where they are polled next. */
type Asking = { readonly account: AccountNo; readonly epoch: number; readonly token: string; readonly since: string };

/** The poll of the rooms waits for it, ms. */
const PATIENCE_MS = 60_000;

/** True: the stored presence is complete up to `since`. Otherwise the next poll does without presence. Rejects only if it was stopped. */
export async function fetchMissedPresence(deps: MissedPresenceDeps, asking: Asking, stop: AbortSignal): Promise<boolean> {
  const { account, epoch, since } = asking;
  try {
    const { text, receivedAt } = await ask(deps, asking, AbortSignal.any([stop, AbortSignal.timeout(PATIENCE_MS)]));
    const { presence: events } = cutResponse(text, receivedAt);
    const isStored = await storeMissedPresence(deps.sql, { account, epoch, since, events, at: receivedAt });
    // Also without events: what is stored may be sent from now on.
    if (isStored) deps.feed.publish({ type: "news", account, kinds: new Set(["presence"]), rooms: new Set() });
    return isStored;
  } catch (error) {
    if (stop.aborted) throw error;
    deps.logger.info({ account, reason: error instanceof Error ? error.message : String(error) }, "The presence of others could not be asked for");
    return false;
  }
}

/** Neither answer acknowledges anything: to-device messages in it come again with the polls. */
async function ask({ sql, client }: MissedPresenceDeps, { account, token }: Asking, signal: AbortSignal): Promise<HomeserverAnswer> {
  const from = await presenceStart(sql, account);
  const sync = (since: string | null) => client.sync(token, { since, timeout: 0, filter: PRESENCE_FILTER }, signal);
  try {
    return await sync(from);
  } catch (error) {
    if (from !== null && error instanceof UpstreamError && error.kind === "bad_since") return sync(null);
    throw error;
  }
}
