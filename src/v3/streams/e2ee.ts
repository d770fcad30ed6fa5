/** Device lists and key counts of the session's device. */

import { readDeviceLists, readKeyCounts } from "../../store/ephemeral.ts";
import type { Stream } from "./stream.ts";
import { NO_NEWS } from "./stream.ts";

export const e2ee: Stream<"e2ee", null> = {
  key: "e2ee",
  kinds: new Set(["device_lists", "key_counts"]),
  resolve: () => null,
  selection: () => null,
  async evaluate(context, _params, memory) {
    const places = { e2ee: context.deviceSeq };
    const counts = await readKeyCounts(context.tx, context.device);
    // A first answer has no device lists: the client treats all as outdated (S5).
    const lists = memory ? await readDeviceLists(context.tx, context.device, context.from.e2ee, context.deviceSeq) : { changed: [], left: [] };
    const parts: string[] = [];
    const changed = lists.changed.length + lists.left.length > 0;
    if (changed) parts.push(`"device_lists":${JSON.stringify(lists)}`);
    const told = counts && counts.counts_seq > context.from.e2ee && counts.counts_seq <= context.deviceSeq;
    if (counts && (!memory || told)) {
      parts.push(`"device_one_time_keys_count":${counts.one_time_keys}`);
      if (counts.fallback_keys !== null) parts.push(`"device_unused_fallback_key_types":${counts.fallback_keys}`);
    }
    if (memory && parts.length === 0) return { ...NO_NEWS, memory, places };
    // Counts alone do not wake, but go along with the next answer.
    return { text: `{${parts.join(",")}}`, news: !memory || changed, memory: memory ?? {}, places };
  },
};
