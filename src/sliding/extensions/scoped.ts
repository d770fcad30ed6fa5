/**
 * Which rooms an extension covers (MSC4508, "lists" and "rooms"), and from which position on. Each room has its own position in the extension: what
 * changes out of scope is sent once the room is in scope again.
 */

import type { RoomSpan } from "../../store/ephemeral.ts";
import type { RoomId } from "../../wire/ids.ts";
import { type ConnectionState, LIVE, MAYBE, type RoomStream, sentUpTo, type StateDraft } from "../connection-state.ts";
import type { Scope } from "../request.ts";
import { type ChosenRoom, inScope } from "../select.ts";

export type Scoped = {
  /** Rooms that are sent for the first time. */
  readonly first: readonly RoomId[];
  /** Rooms that were sent before, each with the position up to which they were. Some may not have changed. */
  readonly later: readonly RoomSpan[];
  readonly inScope: ReadonlySet<RoomId>;
  /** Rooms out of scope that were up to date at the request's position, and are no longer. */
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
  /** Rooms without changes that are not up to date either, once they have been out of scope. */
  readonly outdated?: Iterable<RoomId>;
  /** A room that was joined again is sent as if for the first time. */
  readonly afresh?: boolean;
};

export function scopedRooms(stream: RoomStream, question: ScopeQuestion): Scoped {
  const { scope, chosen, state, changed, from, outdated = [], afresh = false } = question;
  const first: RoomId[] = [];
  const later: RoomSpan[] = [];
  const scoped = new Set<RoomId>();
  const sentOf = (roomId: RoomId) => state.rooms.get(roomId)?.sent[stream];
  for (const choice of scope ? chosen : []) {
    const { roomId, membershipOrd } = choice.room;
    if (!scope || !inScope(scope, choice)) continue;
    scoped.add(roomId);
    const upTo = sentUpTo(state.rooms.get(roomId), stream, from);
    if (upTo === undefined || (afresh && upTo !== MAYBE && membershipOrd > upTo)) first.push(roomId);
    else if (sentOf(roomId) !== LIVE || changed.has(roomId)) later.push({ roomId, from: upTo });
  }
  const missed = [...new Set([...changed, ...outdated])].filter((roomId) => !scoped.has(roomId) && sentOf(roomId) === LIVE);
  return { first, later, inScope: scoped, missed };
}

/** Notes in `draft` what is sent now, and from which position rooms out of scope continue later. */
export function noteScoped(stream: RoomStream, { inScope: scoped, missed }: Scoped, from: number, draft: StateDraft): void {
  for (const roomId of scoped) draft.setSent(roomId, stream, LIVE);
  for (const roomId of missed) draft.setSent(roomId, stream, from);
}

/** All of the first rooms' data, and of the later ones what is new. */
export function spansOf({ first, later }: Scoped): RoomSpan[] {
  return [...first.map((roomId) => ({ roomId, from: 0 })), ...later];
}
