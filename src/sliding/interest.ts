/** Which wake-ups can bring news to a request. */

import type { WakeKind } from "../feed/hub.ts";
import type { Asks } from "../store/connections.ts";
import { type ExtensionName, EXTENSIONS, type SlidingBody } from "./request.ts";

const OF_ROOMS: readonly WakeKind[] = ["timeline", "state", "members", "facts", "invites"];

const OF_EXTENSIONS: Readonly<Record<ExtensionName, readonly WakeKind[]>> = {
  toDevice: ["to_device"],
  e2ee: ["device_lists", "key_counts"],
  accountData: ["account_data"],
  profiles: ["profiles"],
  receipts: ["receipts"],
  stickyEvents: ["sticky_events"],
  typing: ["typing"],
  presence: ["presence"],
  threads: ["thread_subscriptions"],
};

/** The kinds of what its body asks for. */
export function kindsOf({ lists, subscriptions, extensions, sticky }: SlidingBody): ReadonlySet<WakeKind> {
  const rooms = lists.size > 0 || subscriptions.size > 0 || sticky !== null;
  return new Set([...(rooms ? OF_ROOMS : []), ...EXTENSIONS.flatMap((name) => (extensions[name] ? OF_EXTENSIONS[name] : []))]);
}

export function asksOf({ extensions }: SlidingBody): Asks {
  return { presence: extensions.presence !== undefined, threads: extensions.threads !== undefined };
}
