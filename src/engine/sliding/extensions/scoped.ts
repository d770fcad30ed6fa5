/**
 * Which rooms an extension tells of (MSC4508, "lists" and "rooms"), and from where on. Each room has its place in the stream: what
 * changes out of scope is told when the room is in scope again.
 */

import { roomsWithChanges, type RoomSpan } from "../../../store/ephemeral.ts";
import type { RoomId } from "../../../wire/ids.ts";
import { LIVE, type RoomStream, type StateDraft } from "../connection-state.ts";
import type { SlidingContext } from "../context.ts";
import type { Scope } from "../request.ts";
import { type ChosenRoom, inScope } from "../select.ts";

export type Scoped = {
  /** Rooms that are told of for the first time. */
  readonly first: readonly RoomId[];
  /** Rooms that were told of before, and up to where. Some of them may have no change. */
  readonly later: readonly RoomSpan[];
};

const TABLES = { receipts: "receipts", accountData: "account_data", typing: "typing" } as const satisfies Partial<Record<RoomStream, string>>;

/** @param scope undefined: the extension is not enabled, and no room is in scope. */
export async function scopedRooms(
  context: SlidingContext,
  stream: keyof typeof TABLES,
  scope: Scope | undefined,
  chosen: Iterable<ChosenRoom>,
  draft: StateDraft,
): Promise<Scoped> {
  const { tx, account, from, to } = context;
  const changed = from < to && draft.hasTold(stream) ? await roomsWithChanges(tx, account, TABLES[stream], { from, to }) : new Set<RoomId>();
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
