/** The receipts extension: of a room that is told whole those on the events that were told and the user's own; then what changes. */

import { readReceiptsOf, readReceiptsOn } from "../../../store/ephemeral.ts";
import { newestEvents } from "../../../store/timeline.ts";
import { receiptContents } from "../../../streams/receipts.ts";
import type { RoomId } from "../../../wire/ids.ts";
import type { StateDraft } from "../connection-state.ts";
import type { SlidingContext } from "../context.ts";
import type { Scope } from "../request.ts";
import type { RoomResult } from "../room-results.ts";
import type { ChosenRoom } from "../select.ts";
import { scopedRooms } from "./scoped.ts";

/** The content of an m.receipt event, as JSON text. */
export type ReceiptsResult = ReadonlyMap<RoomId, string>;

/** Of a room whose timeline was told earlier, so many of the newest events may be on a client's screen. */
const RECENT = 20;

export async function tellReceipts(
  context: SlidingContext,
  scope: Scope | undefined,
  chosen: readonly ChosenRoom[],
  results: readonly RoomResult[],
  draft: StateDraft,
): Promise<ReceiptsResult> {
  const { tx, account, userId, to } = context;
  const joined = chosen.filter(({ room }) => room.membership === "join");
  const { first, later } = await scopedRooms(context, "receipts", scope, joined, draft);
  const scoped = new Set([...first, ...later.map((span) => span.roomId)]);
  const shown = results.filter((result) => (result.initial && scoped.has(result.roomId)) || (result.expanded && scope));
  const told = new Set(shown.map((result) => result.roomId));
  const late = first.filter((roomId) => !told.has(roomId));
  const [changed, whole] = await Promise.all([
    readReceiptsOf(tx, account, userId, later, to),
    newestEvents(tx, account, late, RECENT).then((recent) =>
      readReceiptsOn(tx, account, userId, [...new Set([...told, ...late])], [...shown.flatMap((result) => result.eventIds), ...recent]),
    ),
  ]);
  return receiptContents([...whole, ...changed]);
}
