/** Whether a wake-up can bring news to a request: decided before any query (D7). */

import type { Wake } from "../feed/hub.ts";
import { STREAMS } from "../streams/registry.ts";
import type { DeviceNo } from "../wire/ids.ts";
import type { SessionState } from "./session-state.ts";

/** False only where nothing that the wake-up names concerns a requested stream. */
export function interestedIn(wake: Wake & { type: "news" }, params: SessionState["params"], device: DeviceNo): boolean {
  const { kinds } = wake;
  if (!kinds || kinds.has("complete") || kinds.has("gone")) return true;
  return STREAMS.some((stream) => {
    if (!params[stream.key]) return false;
    for (const kind of stream.kinds) {
      if (!kinds.has(kind)) continue;
      // To-device messages and key counts concern one device.
      if ((kind !== "to_device" && kind !== "key_counts") || wake.device === undefined || wake.device === device) return true;
    }
    return false;
  });
}
