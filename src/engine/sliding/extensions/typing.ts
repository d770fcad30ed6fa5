/** The typing extension (MSC4508): whole sets of joined rooms, whenever they change. */

import { readTypingOf } from "../../../store/ephemeral.ts";
import type { RoomId } from "../../../wire/ids.ts";
import type { SlidingContext } from "../context.ts";
import { type Scoped, spansOf } from "./scoped.ts";

/** Lists of user ids as JSON texts. */
export type TypingResult = ReadonlyMap<RoomId, string>;

export async function tellTyping(context: SlidingContext, scoped: Scoped): Promise<TypingResult> {
  const sets = await readTypingOf(context.tx, context.account, spansOf(scoped), context.to);
  const starting = new Set(scoped.first);
  return new Map(sets.filter((set) => set.users !== "[]" || !starting.has(set.room_id)).map((set) => [set.room_id, set.users]));
}
