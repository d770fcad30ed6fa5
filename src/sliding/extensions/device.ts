/** The extensions about the device rather than rooms: to_device (MSC4538) and e2ee (MSC4543). */

import type { ConnectionHead } from "../../store/connections.ts";
import { readDeviceLists } from "../../store/ephemeral.ts";
import { readToDevice } from "../../store/to-device.ts";
import type { StoredContext } from "../context.ts";
import type { SlidingExtensions } from "../request.ts";

/** Messages as JSON texts, oldest first; `next`: the seq of the last one, for the client to acknowledge. */
export type ToDeviceResult = { readonly events: readonly string[]; readonly next: number };

export type E2eeResult = {
  readonly changed: readonly string[];
  readonly left: readonly string[];
  /** JSON texts; null: the homeserver has not said, so nothing may be sent. */
  readonly oneTimeKeys: string | null;
  readonly fallbackKeys: string | null;
};

type Opening = Pick<StoredContext, "tx" | "device">;

/** Messages after what the client acknowledged. The queue belongs to the device, whichever connection acknowledged them. */
export async function readQueue({ tx, device }: Opening, asked: SlidingExtensions["toDevice"]): Promise<ToDeviceResult | null> {
  if (!asked) return null;
  const rows = await readToDevice(tx, device, asked.since, asked.limit);
  return { events: rows.map((row) => row.body), next: rows.at(-1)?.seq ?? asked.since };
}

/** Device lists after `from` of devices.seq; null: none are asked for. */
export async function readLists({ tx, device }: Opening, from: number | null): Promise<ListChanges> {
  return from === null ? NO_LISTS : readDeviceLists(tx, device, from, Number.MAX_SAFE_INTEGER);
}

/** What the client acknowledged. If that is more than is stored, it was from before our database was restored, and counts as nothing. */
export function asFarAsKnown(asked: SlidingExtensions["toDevice"], { deviceSeq }: ConnectionHead): SlidingExtensions["toDevice"] {
  return asked && asked.since > deviceSeq ? { ...asked, since: 0 } : asked;
}

/** The queue, if it has no unacknowledged messages; undefined: it must be read. */
export function emptyQueue(asked: SlidingExtensions["toDevice"], head: ConnectionHead): ToDeviceResult | null | undefined {
  if (!asked) return null;
  return head.queued <= asked.since ? { events: [], next: asked.since } : undefined;
}

/** Device lists, if none changed after `from`; undefined: they must be read. */
export function unchangedLists(from: number | null, head: ConnectionHead): ListChanges | undefined {
  return from === null || from >= head.deviceSeq ? NO_LISTS : undefined;
}

/** Key counts are always included, so that a retry gets them too. */
export function e2eeResult(enabled: boolean, lists: ListChanges, { keyCounts }: ConnectionHead): E2eeResult | null {
  return enabled ? { ...lists, oneTimeKeys: keyCounts?.oneTimeKeys ?? null, fallbackKeys: keyCounts?.fallbackKeys ?? null } : null;
}

type ListChanges = Pick<E2eeResult, "changed" | "left">;
const NO_LISTS: ListChanges = { changed: [], left: [] };
