/** S1 Typing (R22): who is typing in a room, as full sets, whenever a set changed. */

import { readTyping } from "../../store/ephemeral.ts";
import type { RoomId } from "../../wire/ids.ts";
import type { TypingSet } from "./answers.ts";
import { roomGate } from "./gate.ts";
import type { Context, Evaluation, Memory, Stream } from "./stream.ts";
import { NO_NEWS } from "./stream.ts";

type TypingParams = { readonly roomId: RoomId | "room_list" | null };

export const typing: Stream<"typing", TypingParams> = {
  key: "typing",
  kinds: new Set(["typing", "facts"]),
  resolve: ({ room_id }) => ({ roomId: room_id ?? null }),
  selection: (params) => params.roomId,
  async evaluate(context, params, memory) {
    if (params.roomId === null) return memory ? { ...NO_NEWS, memory } : { answer: { sets: [] }, news: true, memory: {} };
    if (params.roomId === "room_list") return trackedRooms(context, memory);
    const room = params.roomId;
    const gate = await roomGate(context, room, memory);
    switch (gate.step) {
      case "start": {
        const sets = await readSets(context, [room], 0);
        return { answer: { sets: sets.filter(someone) }, news: true, memory: gate.memory };
      }
      case "delta": {
        const sets = await readSets(context, [room], context.from.position);
        return sets.length > 0 ? { answer: { sets }, news: true, memory: gate.memory } : { ...NO_NEWS, memory: gate.memory };
      }
      case "lost":
        return { answer: { sets: [nobody(room)], forbidden: true }, news: true, memory: gate.memory };
      case "forbid":
        return { answer: { forbidden: true }, news: true, memory: gate.memory };
      case "silent":
        return { ...NO_NEWS, memory: gate.memory };
    }
  },
};

async function trackedRooms(context: Context, memory: Memory | undefined): Promise<Evaluation<"typing">> {
  const { staying, added, removed } = context.tracked;
  const starting = memory ? added : [...staying, ...added];
  const sets = [
    ...(await readSets(context, starting, 0)).filter(someone),
    ...(memory ? await readSets(context, staying, context.from.position) : []),
    ...(memory ? removed : []).map(nobody),
  ];
  if (memory && sets.length === 0) return { ...NO_NEWS, memory };
  return { answer: { sets }, news: true, memory: memory ?? {} };
}

function readSets(context: Context, rooms: readonly RoomId[], from: number): Promise<TypingSet[]> {
  return readTyping(context.tx, context.account, rooms, { from, to: context.to });
}

const someone = ({ users }: TypingSet) => users !== "[]";
const nobody = (room_id: RoomId): TypingSet => ({ room_id, users: "[]" });
