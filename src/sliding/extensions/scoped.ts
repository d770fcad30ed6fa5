/**
 * Which rooms an extension tells of (MSC4508, "lists" and "rooms"), and from where on. Each room has its place in the stream: what
 * changes out of scope is told when the room is in scope again.
 */

import type { RoomSpan } from "../../store/ephemeral.ts";
import type { RoomId } from "../../wire/ids.ts";
import { LIVE, type RoomStream, type StateDraft } from "../connection-state.ts";
import type { Scope } from "../request.ts";
import { type ChosenRoom, inScope } from "../select.ts";

export type Scoped = {
  /** Rooms that are told of for the first time. */
  readonly first: readonly RoomId[];
  /** Rooms that were told of before, and up to where. Some of them may have no change. */
  readonly later: readonly RoomSpan[];
};

/**
 * Notes in `draft` what is told now, and what is left behind.
 * @param scope undefined: the extension is not enabled, and no room is in scope.
 * @param changed the rooms with changes after the request's position `from`.
 */
export function scopedRooms(
  stream: RoomStream,
  scope: Scope | undefined,
  chosen: Iterable<ChosenRoom>,
  draft: StateDraft,
  changed: ReadonlySet<RoomId>,
  from: number,
): Scoped {
  const first: RoomId[] = [];
  const later: RoomSpan[] = [];
  const scoped = new Set<RoomId>();
  for (const choice of scope ? chosen : []) {
    const { roomId } = choice.room;
    if (!scope || !inScope(scope, choice)) continue;
    scoped.add(roomId);
    const told = draft.room(roomId).told[stream];
    if (told === undefined) first.push(roomId);
    else if (told !== LIVE) later.push({ roomId, from: told });
    else if (changed.has(roomId)) later.push({ roomId, from });
    draft.tell(roomId, stream, LIVE);
  }
  for (const roomId of changed) {
    if (!scoped.has(roomId) && draft.room(roomId).told[stream] === LIVE) draft.tell(roomId, stream, from);
  }
  return { first, later };
}

/** All of the first ones, and of the later ones what is new. */
export function spansOf({ first, later }: Scoped): RoomSpan[] {
  return [...first.map((roomId) => ({ roomId, from: 0 })), ...later];
}
