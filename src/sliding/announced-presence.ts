/** `set_presence` of requests, for whichever process polls the account: see upstream/shown-presence.ts. */

import type { Feed } from "../feed/hub.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import type { Presence } from "../wire/presence.ts";
import type { ConnectionState } from "./connection-state.ts";
import type { SlidingBody } from "./request.ts";

/** How often a request that waits says it again, ms. What was said is valid for longer. */
const AGAIN_MS = 20_000;

/**
 * Announces what a request says of the user's presence until the returned function is called. Connections without a list or subscription are those of
 * push notifications and background work: what they say does not count, so that they show nobody as online. `name`: see digestOf.
 */
export function announcePresence(
  feed: Pick<Feed, "publish">,
  connection: { readonly account: AccountNo; readonly device: DeviceNo; readonly name: string },
  { presence, body: { lists, subscriptions } }: { readonly presence: Presence | null; readonly body: SlidingBody },
  { sticky }: ConnectionState,
): () => void {
  if (presence === null || lists.size + subscriptions.size + sticky.size === 0) return () => {};
  const say = () => feed.publish({ type: "presence", ...connection, presence });
  say();
  const again = setInterval(say, AGAIN_MS);
  return () => clearInterval(again);
}
