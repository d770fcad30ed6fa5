/**
 * Which rooms an extension tells of (MSC4508, "lists" and "rooms"), and from where on. Each room has its place in the stream: what
 * changes out of scope is told when the room is in scope again.
 */

import type { RoomSpan } from "../../store/ephemeral.ts";
import type { RoomId } from "../../wire/ids.ts";
import { type ConnectionState, LIVE, type RoomStream, type StateDraft } from "../connection-state.ts";
import type { Scope } from "../request.ts";
import { type ChosenRoom, inScope } from "../select.ts";

export type Scoped = {
  /** Rooms that are told of for the first time. */
  readonly first: readonly RoomId[];
  /** Rooms that were told of before, and up to where. Some of them may have no change. */
  readonly later: readonly RoomSpan[];
  readonly inScope: ReadonlySet<RoomId>;
  /** Rooms out of scope whose changes after the request's position are not told. */
  readonly missed: readonly RoomId[];
};

export type ScopeQuestion = {
  /** undefined: the extension is not enabled, and no room is in scope. */
  readonly scope: Scope | undefined;
  readonly chosen: Iterable<ChosenRoom>;
  readonly state: ConnectionState;
  /** The rooms with changes after the request's position `from`. */
  readonly changed: ReadonlySet<RoomId>;
  readonly from: number;
};

export function scopedRooms(stream: RoomStream, { scope, chosen, state, changed, from }: ScopeQuestion): Scoped {
  const first: RoomId[] = [];
  const later: RoomSpan[] = [];
  const scoped = new Set<RoomId>();
  const toldOf = (roomId: RoomId) => state.rooms.get(roomId)?.told[stream];
  for (const choice of scope ? chosen : []) {
    const { roomId } = choice.room;
    if (!scope || !inScope(scope, choice)) continue;
    scoped.add(roomId);
    const told = toldOf(roomId);
    if (told === undefined) first.push(roomId);
    else if (told !== LIVE) later.push({ roomId, from: told });
    else if (changed.has(roomId)) later.push({ roomId, from });
  }
  const missed = [...changed].filter((roomId) => !scoped.has(roomId) && toldOf(roomId) === LIVE);
  return { first, later, inScope: scoped, missed };
}

/** Notes in `draft` what is told now, and from where on the rooms out of scope are told later. */
export function noteScoped(stream: RoomStream, { inScope: scoped, missed }: Scoped, from: number, draft: StateDraft): void {
  for (const roomId of scoped) draft.tell(roomId, stream, LIVE);
  for (const roomId of missed) draft.tell(roomId, stream, from);
}

/** All of the first ones, and of the later ones what is new. */
export function spansOf({ first, later }: Scoped): RoomSpan[] {
  return [...first.map((roomId) => ({ roomId, from: 0 })), ...later];
}
