/** The typing extension (MSC4508): whole sets of joined rooms, whenever they change. */

import { readTypingOf } from "../../../store/ephemeral.ts";
import type { RoomId } from "../../../wire/ids.ts";
import type { StateDraft } from "../connection-state.ts";
import type { SlidingContext } from "../context.ts";
import type { Scope } from "../request.ts";
import type { ChosenRoom } from "../select.ts";
import { scopedRooms } from "./scoped.ts";

/** Lists of user ids as JSON texts. */
export type TypingResult = ReadonlyMap<RoomId, string>;

export async function tellTyping(
  context: SlidingContext,
  scope: Scope | undefined,
  chosen: readonly ChosenRoom[],
  draft: StateDraft,
): Promise<TypingResult> {
  const joined = chosen.filter(({ room }) => room.membership === "join");
  const { first, later } = await scopedRooms(context, "typing", scope, joined, draft);
  const spans = [...first.map((roomId) => ({ roomId, from: 0 })), ...later];
  const sets = await readTypingOf(context.tx, context.account, spans, context.to);
  const starting = new Set(first);
  return new Map(sets.filter((set) => set.users !== "[]" || !starting.has(set.room_id)).map((set) => [set.room_id, set.users]));
}
