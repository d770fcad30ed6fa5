/** Which wake-ups can bring news to a request. */

import type { WakeKind } from "../feed/hub.ts";
import type { SlidingBody } from "./request.ts";

const OF_ROOMS: readonly WakeKind[] = ["timeline", "state", "members", "facts", "invites"];

/** The kinds of what its body asks for. */
export function kindsOf({ lists, subscriptions, extensions, sticky }: SlidingBody): ReadonlySet<WakeKind> {
  const rooms = lists.size > 0 || subscriptions.size > 0 || sticky !== null;
  return new Set<WakeKind>([
    ...(rooms ? OF_ROOMS : []),
    ...(extensions.toDevice ? (["to_device"] as const) : []),
    ...(extensions.e2ee ? (["device_lists", "key_counts"] as const) : []),
    ...(extensions.accountData ? (["account_data"] as const) : []),
    ...(extensions.receipts ? (["receipts"] as const) : []),
    ...(extensions.typing ? (["typing"] as const) : []),
  ]);
}
