/** Whether a wake-up can bring news to a sliding sync request: decided before any query. */

import type { Wake, WakeKind } from "../../feed/hub.ts";
import type { DeviceNo } from "../../wire/ids.ts";
import type { SlidingBody } from "./request.ts";

const OF_ROOMS: readonly WakeKind[] = ["timeline", "state", "members", "facts", "invites"];
const OF_DEVICES: readonly WakeKind[] = ["to_device", "key_counts"];

/** False only where nothing that the wake-up names is asked about. */
export function concerns(wake: Wake & { type: "news" }, { device, body }: { readonly device: DeviceNo; readonly body: SlidingBody }): boolean {
  const { kinds } = wake;
  if (!kinds || kinds.has("complete") || kinds.has("gone")) return true;
  const asked = kindsOf(body);
  for (const kind of kinds) {
    if (asked.has(kind) && (!OF_DEVICES.includes(kind) || wake.device === undefined || wake.device === device)) return true;
  }
  return false;
}

function kindsOf({ lists, subscriptions, extensions, sticky }: SlidingBody): ReadonlySet<WakeKind> {
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
