/** Which polls a homeserver is asked in the place of others: without rooms, for one section alone. */

import type { Json } from "./events.ts";
import type { FakeRequest } from "./fake-http.ts";

/** A sync for the presence of others alone: what polls that asked for none did not say of it. It takes nothing from the log. */
export function asksForPresence({ query }: FakeRequest): boolean {
  const filter = JSON.parse(query.get("filter") ?? "{}") as { room?: { rooms?: unknown[] }; presence?: unknown };
  return filter.room?.rooms?.length === 0 && filter.presence === undefined;
}

/** A sync for profiles alone. It takes nothing from the log. */
export function asksForProfiles({ query }: FakeRequest): boolean {
  const filter = JSON.parse(query.get("filter") ?? "{}") as Json & { room?: { rooms?: unknown[] } };
  return filter.room?.rooms?.length === 0 && filter["org.matrix.msc4429.profile_fields"] !== undefined;
}
