/** The receipts extension: of a room that is told whole those on the events that were told and the user's own; then what changes. */

import { type ReceiptRow, readReceiptsOf, readReceiptsOn } from "../../store/ephemeral.ts";
import { newestEvents } from "../../store/timeline.ts";
import { receiptContents } from "../../sync/receipt-contents.ts";
import type { RoomId } from "../../wire/ids.ts";
import type { SlidingContext } from "../context.ts";
import type { AccountView } from "../account-view.ts";
import type { RoomContent, RoomResult } from "../room-content.ts";
import type { Scoped } from "./scoped.ts";

/** The content of an m.receipt event, as JSON text. */
export type ReceiptsResult = ReadonlyMap<RoomId, string>;

/** Of a room whose timeline was told earlier, so many of the newest events may be on a client's screen. */
const RECENT = 20;

/** What changed in rooms that were told of before; null: memory does not hold it. */
export async function readChangedReceipts({ tx, account, userId, to }: SlidingContext, { later }: Scoped): Promise<ReceiptRow[] | null> {
  if (later.length === 0) return [];
  return tx && readReceiptsOf(tx, account, userId, later, to);
}

/** Receipts on what a room's content shows, and the user's own, as long as no receipt of the room changes (`ord`). null: there are none. */
const shownReceipts = new WeakMap<RoomContent, { readonly ord: number; readonly text: string | null }>();

export type ReceiptsParts = {
  readonly view: AccountView;
  readonly scoped: Scoped;
  /** The rooms of the answer. */
  readonly results: readonly RoomResult[];
  /** Of readChangedReceipts. */
  readonly changed: readonly ReceiptRow[];
};

/** null: memory does not hold them. */
export async function tellReceipts(context: SlidingContext, { view, scoped, results, changed }: ReceiptsParts): Promise<ReceiptsResult | null> {
  const { first, inScope } = scoped;
  const shown = results.filter(({ content, roomId }) => (content.initial || content.expanded) && inScope.has(roomId));
  const told = new Set(shown.map((result) => result.roomId));
  const late = first.filter((roomId) => !told.has(roomId));
  const changing = new Set(changed.map((row) => row.room_id));
  const ordOf = (roomId: RoomId) => view.receipts.get(roomId) ?? view.receiptsSince;
  const known = (result: RoomResult) => {
    const memo = result.shared && !changing.has(result.roomId) ? shownReceipts.get(result.content) : undefined;
    return memo?.ord === ordOf(result.roomId) ? memo : undefined;
  };
  const unknown = shown.filter((result) => !known(result));
  const whole = await readReceiptsOnShown(context, unknown, late);
  if (!whole) return null;
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

/** @param late rooms whose timeline was told earlier */
async function readReceiptsOnShown({ tx, account, userId }: SlidingContext, shown: readonly RoomResult[], late: readonly RoomId[]) {
  if (shown.length + late.length === 0) return [];
  if (!tx) return null;
  const recent = await newestEvents(tx, account, late, RECENT);
  const events = [...shown.flatMap(({ content }) => (content.timeline?.events ?? []).map((row) => row.event_id)), ...recent];
  return readReceiptsOn(tx, account, userId, [...shown.map((result) => result.roomId), ...late], events);
}
