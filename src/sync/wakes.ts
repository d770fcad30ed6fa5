/** What a wake-up means to a request that waits: decided before any query (D7). */

import type { Wake, WakeKind } from "../feed/hub.ts";
import type { DeviceNo } from "../wire/ids.ts";
import type { WaitEnd } from "./waiter.ts";

export type WakeFilter = {
  readonly device: DeviceNo;
  /** See Arrivals. */
  readonly arrival: string;
  /** Whether a wake-up is of a request of the same session or connection. */
  readonly isOfSame: (wake: Wake & { type: "session" | "connection" }) => boolean;
  /** What can bring news to the request; null: not known yet, so anything may. */
  readonly kinds: ReadonlySet<WakeKind> | null;
};

/** Concern the wake-up's device alone. */
const OF_DEVICES: ReadonlySet<WakeKind> = new Set(["to_device", "key_counts"]);

/** A newer request of the same session or connection ends the older one (D11); news that the request asks about has it evaluate again; null: nothing. */
export function meaningOf(wake: Wake, listening: WakeFilter): Exclude<WaitEnd, "over"> | null {
  if (wake.type !== "news") return listening.isOfSame(wake) && wake.request > listening.arrival ? "superseded" : null;
  if (wake.kinds?.has("gone")) return "gone";
  return concerns(wake, listening) ? "look" : null;
}

/** False only where nothing that the wake-up names can bring news to the request. */
function concerns({ kinds, device }: Wake & { type: "news" }, asking: Pick<WakeFilter, "device" | "kinds">): boolean {
  if (!kinds || !asking.kinds || kinds.has("complete")) return true;
  for (const kind of kinds) {
    const isOther = OF_DEVICES.has(kind) && device !== undefined && device !== asking.device;
    if (asking.kinds.has(kind) && !isOther) return true;
  }
  return false;
}
