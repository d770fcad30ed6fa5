/** The extensions that tell of the device and not of rooms: to_device (MSC4538) and e2ee (MSC4543). */

import { readDeviceLists, readKeyCounts } from "../../../store/ephemeral.ts";
import { readToDevice } from "../../../store/to-device.ts";
import type { StateDraft } from "../connection-state.ts";
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

/** Everything that is queued after what the client acknowledged, whatever connection it came on: the place is the device's. */
export async function tellToDevice(context: SlidingContext, asked: SlidingExtensions["toDevice"]): Promise<ToDeviceResult | null> {
  if (!asked) return null;
  const rows = await readToDevice(context.tx, context.device, asked.since, asked.limit);
  return { events: rows.map((row) => row.body), next: rows.at(-1)?.seq ?? asked.since };
}

/**
 * Device lists since the position, none at first: a client then takes all it knows for outdated. Key counts always, so that a retry
 * has them too.
 * @param from devices.seq up to which lists were told. @param to devices.seq now.
 */
export async function tellE2ee(context: SlidingContext, enabled: boolean, from: number, to: number, draft: StateDraft): Promise<E2eeResult | null> {
  if (!enabled) return null;
  const isFirst = !draft.e2ee;
  draft.setE2ee(true);
  const [counts, lists] = await Promise.all([
    readKeyCounts(context.tx, context.device),
    isFirst ? { changed: [], left: [] } : readDeviceLists(context.tx, context.device, from, to),
  ]);
  return { ...lists, oneTimeKeys: counts?.one_time_keys ?? null, fallbackKeys: counts?.fallback_keys ?? null };
}
