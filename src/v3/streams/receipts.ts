/** Receipts: one m.receipt EDU a room with what changed; other users' private receipts never. */

import { readReceipts, type ReceiptRow } from "../../store/ephemeral.ts";
import type { RoomId } from "../../wire/ids.ts";
import { receiptContents } from "../../sync/receipt-contents.ts";
import { FORBIDDEN, roomGate } from "./gate.ts";
import type { Context, Evaluation, Memory, Stream } from "./stream.ts";
import { NO_NEWS } from "./stream.ts";

type Params = { readonly roomId: RoomId | "room_list" | null };

export const receipts: Stream<"receipts", Params> = {
  key: "receipts",
  kinds: new Set(["receipts", "facts"]),
  resolve: ({ room_id }) => ({ roomId: room_id ?? null }),
  selection: (params) => params.roomId,
  async evaluate(context, params, memory) {
    if (params.roomId === null) return memory ? { ...NO_NEWS, memory } : { text: answer([]), news: true, memory: {} };
    if (params.roomId === "room_list") return trackedRooms(context, memory);
    const gate = await roomGate(context, params.roomId, memory);
    switch (gate.step) {
      case "start":
        return { text: answer(await rows(context, [params.roomId], 0)), news: true, memory: gate.memory };
      case "delta": {
        const changed = await rows(context, [params.roomId], context.from.position);
        return changed.length > 0 ? { text: answer(changed), news: true, memory: gate.memory } : { ...NO_NEWS, memory: gate.memory };
      }
      case "lost":
      case "forbid":
        return { text: `{${FORBIDDEN}}`, news: true, memory: gate.memory };
      case "silent":
        return { ...NO_NEWS, memory: gate.memory };
    }
  },
};

async function trackedRooms(context: Context, memory: Memory | undefined): Promise<Evaluation> {
  const { kept, added } = context.tracked;
  const found = [
    ...(await rows(context, memory ? added : [...kept, ...added], 0)),
    ...(memory ? await rows(context, kept, context.from.position) : []),
  ];
  if (memory && found.length === 0) return { ...NO_NEWS, memory };
  return { text: answer(found), news: true, memory: memory ?? {} };
}

function rows(context: Context, rooms: readonly RoomId[], from: number): Promise<ReceiptRow[]> {
  return readReceipts(context.tx, context.account, context.userId, rooms, { from, to: context.to });
}

function answer(found: readonly ReceiptRow[]): string {
  const rooms = [...receiptContents(found)].map(([roomId, content]) => `${JSON.stringify(roomId)}:{"type":"m.receipt","content":${content}}`);
  return `{"rooms":{${rooms.join(",")}}}`;
}
