/** The extensions that tell of the device and not of rooms: to_device (MSC4538) and e2ee (MSC4543). */

import { readDeviceLists, readKeyCounts } from "../../../store/ephemeral.ts";
import { readToDevice } from "../../../store/to-device.ts";
import type { SlidingContext } from "../context.ts";
import type { SlidingExtensions } from "../request.ts";

/** Messages as JSON texts, oldest first; `next`: the seq of the last, to be acknowledged. */
export type ToDeviceResult = { readonly events: readonly string[]; readonly next: number };

export type E2eeResult = {
  readonly changed: readonly string[];
  readonly left: readonly string[];
  /** JSON texts; null: the homeserver did not say, so nothing must be told. */
  readonly oneTimeKeys: string | null;
  readonly fallbackKeys: string | null;
};

type Opening = Pick<SlidingContext, "tx" | "device">;

/** Everything that is queued after what the client acknowledged, whatever connection it came on: the place is the device's. */
export async function readQueue({ tx, device }: Opening, asked: SlidingExtensions["toDevice"]): Promise<ToDeviceResult | null> {
  if (!asked) return null;
  const rows = await readToDevice(tx, device, asked.since, asked.limit);
  return { events: rows.map((row) => row.body), next: rows.at(-1)?.seq ?? asked.since };
}

/** Key counts always, so that a retry has them too; device lists after `from` of devices.seq, none for null. */
export async function readE2ee({ tx, device }: Opening, enabled: boolean, from: number | null): Promise<E2eeResult | null> {
  if (!enabled) return null;
  const [counts, lists] = await Promise.all([
    readKeyCounts(tx, device),
    from === null ? { changed: [], left: [] } : readDeviceLists(tx, device, from, Number.MAX_SAFE_INTEGER),
  ]);
  return { ...lists, oneTimeKeys: counts?.one_time_keys ?? null, fallbackKeys: counts?.fallback_keys ?? null };
}
