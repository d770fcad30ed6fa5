/** Account data: the latest event of each type, global and per room. */

import { readGlobalAccountData, readRoomAccountData } from "../../store/ephemeral.ts";
import type { RoomId } from "../../wire/ids.ts";
import type { Context, Stream } from "./stream.ts";
import { NO_NEWS } from "./stream.ts";

type AccountDataParams = { readonly global: boolean; readonly rooms: readonly RoomId[] | "*" | "room_list" };

export const accountData: Stream<"account_data", AccountDataParams> = {
  key: "account_data",
  kinds: new Set(["account_data", "facts"]),
  resolve: ({ global, rooms }) => ({ global: global !== false, rooms: rooms ?? [] }),
  selection: (params) => [params.global, params.rooms],
  async evaluate(context, params, memory) {
    const from = memory ? context.from.position : 0;
    const global = params.global ? await readGlobalAccountData(context.tx, context.account, { from, to: context.to }) : [];
    const rooms = new Map<RoomId, string[]>();
    for (const row of await roomRows(context, params.rooms, from, memory !== undefined)) {
      const events = rooms.get(row.room_id);
      if (events) events.push(row.body);
      else rooms.set(row.room_id, [row.body]);
    }
    if (memory && global.length === 0 && rooms.size === 0) return { ...NO_NEWS, memory };
    const answer = {
      ...(params.global && (!memory || global.length > 0) && { global }),
      ...((!memory || rooms.size > 0) && { rooms }),
    };
    return { answer, news: true, memory: memory ?? {} };
  },
};

async function roomRows(context: Context, rooms: AccountDataParams["rooms"], from: number, started: boolean) {
  const read = (ids: readonly RoomId[] | "*", after: number) =>
    readRoomAccountData(context.tx, context.account, ids, { from: after, to: context.to });
  if (rooms !== "room_list") return read(rooms, from);
  const { staying, added } = context.tracked;
  if (!started) return read([...staying, ...added], 0);
  return [...(await read(added, 0)), ...(await read(staying, from))];
}
