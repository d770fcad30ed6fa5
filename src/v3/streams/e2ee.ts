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
    const cursors = { e2ee: context.deviceSeq };
    const counts = await readKeyCounts(context.tx, context.device);
    // A first answer has no device lists, since the client takes all of them for outdated then (S5).
    const lists = memory ? await readDeviceLists(context.tx, context.device, context.from.e2ee, context.deviceSeq) : { changed: [], left: [] };
    const changed = lists.changed.length + lists.left.length > 0;
    const counted = counts && counts.counts_seq > context.from.e2ee && counts.counts_seq <= context.deviceSeq;
    const keys = counts && (!memory || counted) ? { oneTime: counts.one_time_keys, fallback: counts.fallback_keys } : null;
    if (memory && !changed && !keys) return { ...NO_NEWS, memory, cursors };
    // Counts alone do not end a wait; they are sent with the next answer.
    return { answer: { ...(changed && { lists }), ...(keys && { keys }) }, news: !memory || changed, memory: memory ?? {}, cursors };
  },
};
