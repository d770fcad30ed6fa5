/** Whether a homeserver still has what it has shown to an account: after a restore from a backup it has not (T3). */

import type { ShownEvent } from "../store/restores.ts";
import type { HomeserverClient } from "./client.ts";
import { isNotThere, type UpstreamError } from "./upstream-error.ts";

/**
 * Asks for the events one by one. True: the homeserver knows one of them, or there are none.
 * @throws UpstreamError for any other answer than the event, and that it does not exist or is not to be seen: a homeserver in trouble says nothing
 */
export async function knowsAny(
  client: Pick<HomeserverClient, "event">,
  token: string,
  events: readonly ShownEvent[],
  signal: AbortSignal,
): Promise<boolean> {
  for (const [roomId, eventId] of events) {
    try {
      // oxlint-disable-next-line no-await-in-loop -- the first known one ends it
      await client.event(token, roomId, eventId, signal);
      return true;
    } catch (error) {
      if (!isNotThere(error) || !SAID.has((error as UpstreamError).errcode)) throw error;
    }
  }
  return events.length === 0;
}

/** What a homeserver says itself. A reverse proxy, or a homeserver without this endpoint, answers 404 and 403 otherwise. */
const SAID: ReadonlySet<string | null> = new Set(["M_NOT_FOUND", "M_FORBIDDEN"]);
