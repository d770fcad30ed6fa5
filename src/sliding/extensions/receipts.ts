/** The receipts extension: of a room that is told whole those on the events that were told and the user's own; then what changes. */

import { type ReceiptRow, readReceiptsOf, readReceiptsOn } from "../../store/ephemeral.ts";
import { newestEvents } from "../../store/timeline.ts";
import { receiptContents } from "../../sync/receipt-contents.ts";
import type { RoomId } from "../../wire/ids.ts";
import type { SlidingContext } from "../context.ts";
import type { Scope } from "../request.ts";
import type { AccountView } from "../account-view.ts";
import type { RoomContent, RoomResult } from "../room-content.ts";
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

/** Receipts on what a room's content shows, and the user's own, as long as no receipt of the room changes (`ord`). null: there are none. */
const shownReceipts = new WeakMap<RoomContent, { readonly ord: number; readonly text: string | null }>();

/** @param changed of readChangedReceipts. @param results the rooms of the answer. */
export async function tellReceipts(
  { tx, account, userId }: SlidingContext,
  view: AccountView,
  scope: Scope | undefined,
  chosen: readonly ChosenRoom[],
  { first }: Scoped,
  results: readonly RoomResult[],
  changed: readonly ReceiptRow[],
): Promise<ReceiptsResult> {
  if (!scope) return new Map();
  const scoped = new Set(chosen.filter((choice) => inScope(scope, choice)).map(({ room }) => room.roomId));
  const shown = results.filter(({ content, roomId }) => (content.initial || content.expanded) && scoped.has(roomId));
  const told = new Set(shown.map((result) => result.roomId));
  const late = first.filter((roomId) => !told.has(roomId));
  const changing = new Set(changed.map((row) => row.room_id));
  const ordOf = (roomId: RoomId) => view.receipts.get(roomId) ?? view.receiptsSince;
  const known = (result: RoomResult) => {
    const memo = result.shared && !changing.has(result.roomId) ? shownReceipts.get(result.content) : undefined;
    return memo?.ord === ordOf(result.roomId) ? memo : undefined;
  };
  const unknown = shown.filter((result) => !known(result));
  const recent = await newestEvents(tx, account, late, RECENT);
  const events = [...unknown.flatMap(({ content }) => (content.timeline?.events ?? []).map((row) => row.event_id)), ...recent];
  const whole = await readReceiptsOn(tx, account, userId, [...unknown.map((result) => result.roomId), ...late], events);
  const contents = receiptContents([...whole, ...changed]);
  for (const result of shown) {
    const memo = known(result);
    if (memo?.text) contents.set(result.roomId, memo.text);
    else if (!memo && result.shared && !changing.has(result.roomId)) {
      shownReceipts.set(result.content, { ord: ordOf(result.roomId), text: contents.get(result.roomId) ?? null });
    }
  }
  return contents;
}
