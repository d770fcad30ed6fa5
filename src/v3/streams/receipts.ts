/** Receipts: one m.receipt EDU per room with what changed. Other users' private receipts are never sent. */

import { readReceipts, type ReceiptRow } from "../../store/ephemeral.ts";
import type { RoomId } from "../../wire/ids.ts";
import { roomGate } from "./gate.ts";
import type { Context, Evaluation, Memory, Stream } from "./stream.ts";
import { NO_NEWS } from "./stream.ts";

type ReceiptsParams = { readonly roomId: RoomId | "room_list" | null };

export const receipts: Stream<"receipts", ReceiptsParams> = {
  key: "receipts",
  kinds: new Set(["receipts", "facts"]),
  resolve: ({ room_id }) => ({ roomId: room_id ?? null }),
  selection: (params) => params.roomId,
  async evaluate(context, params, memory) {
    if (params.roomId === null) return memory ? { ...NO_NEWS, memory } : { answer: { rows: [] }, news: true, memory: {} };
    if (params.roomId === "room_list") return trackedRooms(context, memory);
    const gate = await roomGate(context, params.roomId, memory);
    switch (gate.step) {
      case "start":
        return { answer: { rows: await readRows(context, [params.roomId], 0) }, news: true, memory: gate.memory };
      case "delta": {
        const changed = await readRows(context, [params.roomId], context.from.position);
        return changed.length > 0 ? { answer: { rows: changed }, news: true, memory: gate.memory } : { ...NO_NEWS, memory: gate.memory };
      }
      case "lost":
      case "forbid":
        return { answer: { forbidden: true }, news: true, memory: gate.memory };
      case "silent":
        return { ...NO_NEWS, memory: gate.memory };
    }
  },
};

async function trackedRooms(context: Context, memory: Memory | undefined): Promise<Evaluation<"receipts">> {
  const { staying, added } = context.tracked;
  const found = [
    ...(await readRows(context, memory ? added : [...staying, ...added], 0)),
    ...(memory ? await readRows(context, staying, context.from.position) : []),
  ];
  if (memory && found.length === 0) return { ...NO_NEWS, memory };
  return { answer: { rows: found }, news: true, memory: memory ?? {} };
}

function readRows(context: Context, rooms: readonly RoomId[], from: number): Promise<ReceiptRow[]> {
  return readReceipts(context.tx, context.account, context.userId, rooms, { from, to: context.to });
}
