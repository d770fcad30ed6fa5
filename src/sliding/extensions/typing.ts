/** The typing extension (MSC4508): full sets of joined rooms, whenever they change, and when a room enters scope. */

import type { TypingRow } from "../../store/ephemeral.ts";
import type { RoomId } from "../../wire/ids.ts";
import type { AccountView } from "../account-view.ts";
import { type Scoped, spansOf } from "./scoped.ts";

/** Lists of user ids as JSON texts. */
export type TypingResult = ReadonlyMap<RoomId, string>;

export function typingOf({ typing }: AccountView, scoped: Scoped): TypingResult {
  const starting = new Set(scoped.first);
  const sent = spansOf(scoped).flatMap(({ roomId, from }) => {
    const set = typing.get(roomId);
    return set && (isTyping(set) || (set.ord > from && !starting.has(roomId))) ? [[roomId, set.users] as const] : [];
  });
  return new Map(sent);
}

/** Rooms where someone types. Clients forget that once the room is out of scope. */
export function typedIn({ typing }: AccountView): RoomId[] {
  return [...typing].flatMap(([roomId, set]) => (isTyping(set) ? [roomId] : []));
}

function isTyping({ users }: TypingRow): boolean {
  return users !== "[]";
}
