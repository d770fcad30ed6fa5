/** What a wake-up means to a waiting request, decided without a query (D7). */

import type { Wake, WakeKind } from "../feed/hub.ts";
import type { DeviceNo } from "../wire/ids.ts";
import type { WaitEnd } from "./waiter.ts";

export type WakeFilter = {
  readonly device: DeviceNo;
  /** See Arrivals. */
  readonly arrival: string;
  /** Whether a wake-up is about a request of the same session or connection. */
  readonly isOfSame: (wake: Wake & { type: "session" | "connection" }) => boolean;
  /** The kinds that can bring news to the request; null: not known yet, so any may. */
  readonly kinds: ReadonlySet<WakeKind> | null;
};

/** Kinds that concern only the device of the wake-up. */
const OF_DEVICES: ReadonlySet<WakeKind> = new Set(["to_device", "key_counts"]);

/**
 * A newer request of the same session or connection supersedes this one (D11); news that the request asks about has it evaluated again; null: the
 * wake-up does not concern it.
 */
export function meaningOf(wake: Wake, listening: WakeFilter): Exclude<WaitEnd, "over"> | null {
  if (wake.type === "presence") return null;
  if (wake.type !== "news") return listening.isOfSame(wake) && wake.request > listening.arrival ? "superseded" : null;
  if (wake.kinds?.has("gone")) return "gone";
  return concerns(wake, listening) ? "evaluate" : null;
}

/** False only if nothing that the wake-up names can bring news to the request. */
function concerns({ kinds, device }: Wake & { type: "news" }, asking: Pick<WakeFilter, "device" | "kinds">): boolean {
  if (!kinds || !asking.kinds || kinds.has("complete")) return true;
  for (const kind of kinds) {
    const isOther = OF_DEVICES.has(kind) && device !== undefined && device !== asking.device;
    if (asking.kinds.has(kind) && !isOther) return true;
  }
  return false;
}

/** The position up to which a wake-up delivered in memory everything that concerns a device; Infinity: it did not. */
export function handedUpToBy(wake: Wake, device: DeviceNo): number {
  if (wake.type !== "news" || !wake.batch || !wake.kinds) return Infinity;
  const isOfDevice = wake.device === device && (wake.kinds.has("to_device") || wake.kinds.has("key_counts"));
  return isOfDevice || wake.kinds.has("device_lists") ? Infinity : wake.batch.writes.position;
}
