/** S2 To-device: every message, unchanged, in order, and never again once acknowledged. */

import { readToDevice } from "../../store/to-device.ts";
import type { Position } from "../../wire/ids.ts";
import type { Context, Evaluation, Stream } from "./stream.ts";
import { clampLimit, NO_NEWS } from "./stream.ts";

type ToDeviceParams = { readonly limit: number };

export const toDevice: Stream<"to_device", ToDeviceParams> = {
  key: "to_device",
  kinds: new Set(["to_device"]),
  resolve: ({ limit }) => ({ limit: clampLimit(limit, 100, 1000) }),
  selection: () => null,
  async evaluate(context, params, memory) {
    const rows = await readToDevice(context.tx, context.device, context.from.toDevice, params.limit);
    const last = rows.at(-1);
    // If there were fewer than the limit, the cursor moves to the head, so that messages left behind by other sessions are not read again (B9).
    const cursors = { toDevice: last && rows.length >= params.limit ? last.seq : context.deviceSeq };
    if (memory && rows.length === 0) return { ...NO_NEWS, memory, cursors };
    const answer = { limit: params.limit, events: rows.map((row) => row.body) };
    // What was stored before the session took part holds nothing back (D19).
    return { answer, news: true, memory: memory ?? { since: context.deviceSeq }, cursors };
  },
};

/**
 * D19: how far the other streams may advance: to before the batch of the first message that is still to be sent, so that a key never comes later
 * than the events it decrypts. Within a batch, messages have lower seqs than device lists.
 */
export async function toDeviceBound(
  context: Context,
  evaluation: Pick<Evaluation, "memory" | "cursors">,
): Promise<Pick<Context, "to" | "deviceSeq">> {
  const sent = evaluation.cursors?.toDevice ?? context.from.toDevice;
  const exempt = evaluation.memory?.since ?? 0;
  const { to, deviceSeq } = context;
  const [waiting] = sent < deviceSeq ? await readToDevice(context.tx, context.device, Math.max(sent, exempt), 1) : [];
  if (!waiting) return { to, deviceSeq };
  return {
    to: Math.max(Math.min(waiting.before_pos, to), context.from.position) as Position,
    deviceSeq: Math.max(waiting.seq - 1, context.from.e2ee),
  };
}
