/** S1 Typing (R22): who is typing in a room, whole sets, whenever a set changed. */

import { readTyping } from "../../store/ephemeral.ts";
import type { RoomId } from "../../wire/ids.ts";
import { FORBIDDEN, roomGate } from "./gate.ts";
import type { Context, Evaluation, Memory, Stream } from "./stream.ts";
import { NO_NEWS } from "./stream.ts";

type Params = { readonly roomId: RoomId | "room_list" | null };

export const typing: Stream<"typing", Params> = {
  key: "typing",
  kinds: new Set(["typing", "facts"]),
  resolve: ({ room_id }) => ({ roomId: room_id ?? null }),
  selection: (params) => params.roomId,
  async evaluate(context, params, memory) {
    if (params.roomId === null) return memory ? { ...NO_NEWS, memory } : { text: answer([]), news: true, memory: {} };
    if (params.roomId === "room_list") return trackedRooms(context, memory);
    const room = params.roomId;
    const gate = await roomGate(context, room, memory);
    switch (gate.step) {
      case "start": {
        const events = await sets(context, [room], 0);
        return { text: answer(events.filter(someone).map(edu)), news: true, memory: gate.memory };
      }
      case "delta": {
        const events = await sets(context, [room], context.from.position);
        return events.length > 0 ? { text: answer(events.map(edu)), news: true, memory: gate.memory } : { ...NO_NEWS, memory: gate.memory };
      }
      case "lost":
        return { text: `{"events":[${edu({ room_id: room, users: "[]" })}],${FORBIDDEN}}`, news: true, memory: gate.memory };
      case "forbid":
        return { text: `{${FORBIDDEN}}`, news: true, memory: gate.memory };
      case "silent":
        return { ...NO_NEWS, memory: gate.memory };
    }
  },
};

async function trackedRooms(context: Context, memory: Memory | undefined): Promise<Evaluation> {
  const { kept, added, removed } = context.tracked;
  const starting = memory ? added : [...kept, ...added];
  const events = [
    ...(await sets(context, starting, 0)).filter(someone).map(edu),
    ...(memory ? await sets(context, kept, context.from.position) : []).map(edu),
    ...(memory ? removed : []).map((roomId) => edu({ room_id: roomId, users: "[]" })),
  ];
  if (memory && events.length === 0) return { ...NO_NEWS, memory };
  return { text: answer(events), news: true, memory: memory ?? {} };
}

function sets(context: Context, rooms: readonly RoomId[], from: number) {
  return readTyping(context.tx, context.account, rooms, { from, to: context.to });
}

const someone = (set: { users: string }) => set.users !== "[]";
const answer = (events: readonly string[]) => `{"events":[${events.join(",")}]}`;
const edu = (set: { room_id: RoomId; users: string }) =>
  `{"type":"m.typing","room_id":${JSON.stringify(set.room_id)},"content":{"user_ids":${set.users}}}`;
