/** The receipts extension: of a room that is told whole those on the events that were told and the user's own; then what changes. */

import { type ReceiptRow, readReceiptsOf, readReceiptsOn } from "../../../store/ephemeral.ts";
import { newestEvents } from "../../../store/timeline.ts";
import { receiptContents } from "../../../streams/receipts.ts";
import type { RoomId } from "../../../wire/ids.ts";
import type { SlidingContext } from "../context.ts";
import type { Scope } from "../request.ts";
import type { RoomResult } from "../room-results.ts";
import { type ChosenRoom, inScope } from "../select.ts";
import type { Scoped } from "./scoped.ts";

/** The content of an m.receipt event, as JSON text. */
export type ReceiptsResult = ReadonlyMap<RoomId, string>;

/** Of a room whose timeline was told earlier, so many of the newest events may be on a client's screen. */
const RECENT = 20;

/** What changed in rooms that were told of before. */
export function readChangedReceipts({ tx, account, userId, to }: SlidingContext, { later }: Scoped): Promise<ReceiptRow[]> {
  return readReceiptsOf(tx, account, userId, later, to);
}

/** @param changed of readChangedReceipts. @param results the rooms of the answer. */
export async function tellReceipts(
  { tx, account, userId }: SlidingContext,
  scope: Scope | undefined,
  chosen: readonly ChosenRoom[],
  { first }: Scoped,
  results: readonly RoomResult[],
  changed: readonly ReceiptRow[],
): Promise<ReceiptsResult> {
  if (!scope) return new Map();
  const scoped = new Set(chosen.filter((choice) => inScope(scope, choice)).map(({ room }) => room.roomId));
  const shown = results.filter((result) => (result.initial || result.expanded) && scoped.has(result.roomId));
  const told = new Set(shown.map((result) => result.roomId));
  const late = first.filter((roomId) => !told.has(roomId));
  const recent = await newestEvents(tx, account, late, RECENT);
  const events = [...shown.flatMap((result) => result.eventIds), ...recent];
  const whole = await readReceiptsOn(tx, account, userId, [...told, ...late], events);
  return receiptContents([...whole, ...changed]);
}
