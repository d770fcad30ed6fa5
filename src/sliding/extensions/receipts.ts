/**
 * The receipts extension (MSC4551), for rooms that the user is in. Of a room that enters scope, also by being joined again: receipts on the events
 * that are sent, and the user's own; afterwards, what changes. Of a room that is sent in full, those on its events again.
 */

import { type ReceiptRow, readReceiptsOf, readReceiptsOn } from "../../store/ephemeral.ts";
import { receiptContents } from "../../sync/receipt-contents.ts";
import type { RoomId } from "../../wire/ids.ts";
import type { SlidingContext } from "../context.ts";
import type { AccountView } from "../account-view.ts";
import type { RoomContent, RoomResult } from "../room-content.ts";
import type { Scoped } from "./scoped.ts";

/** The content of an m.receipt event, as JSON text. */
export type ReceiptsResult = ReadonlyMap<RoomId, string>;

/** Changes in rooms whose receipts were sent before; null: memory is not enough. */
export async function readChangedReceipts({ tx, account, userId, to }: SlidingContext, { later }: Scoped): Promise<ReceiptRow[] | null> {
  if (later.length === 0) return [];
  return tx && readReceiptsOf(tx, account, userId, later, to);
}

/** Receipts on the events of a room's content, and the user's own. Valid while no receipt of the room changes (`ord`). Text null: there are none. */
const shownReceipts = new WeakMap<RoomContent, { readonly ord: number; readonly text: string | null }>();

export type ReceiptsParts = {
  readonly view: AccountView;
  readonly scoped: Scoped;
  /** The rooms of the answer. */
  readonly results: readonly RoomResult[];
  /** From readChangedReceipts. */
  readonly changed: readonly ReceiptRow[];
};

/** null: memory is not enough. */
export async function receiptsOf(context: SlidingContext, { view, scoped, results, changed }: ReceiptsParts): Promise<ReceiptsResult | null> {
  const { inScope } = scoped;
  const first = new Set(scoped.first);
  const shown = results.filter(({ content, roomId }) => first.has(roomId) || ((content.initial || content.expanded) && inScope.has(roomId)));
  const sent = new Set(shown.map((result) => result.roomId));
  const quiet = scoped.first.filter((roomId) => !sent.has(roomId));
  const changing = new Set(changed.map((row) => row.room_id));
  const ordOf = (roomId: RoomId) => view.receipts.get(roomId) ?? view.receiptsSince;
  const known = (result: RoomResult) => {
    const memo = result.shared && !changing.has(result.roomId) ? shownReceipts.get(result.content) : undefined;
    return memo?.ord === ordOf(result.roomId) ? memo : undefined;
  };
  const unknown = shown.filter((result) => !known(result));
  const onShown = await readReceiptsOnShown(context, unknown, quiet);
  if (!onShown) return null;
  const contents = receiptContents([...onShown, ...changed]);
  for (const result of shown) {
    const memo = known(result);
    if (memo?.text) contents.set(result.roomId, memo.text);
    else if (!memo && result.shared && !changing.has(result.roomId)) {
      shownReceipts.set(result.content, { ord: ordOf(result.roomId), text: contents.get(result.roomId) ?? null });
    }
  }
  return contents;
}

/** @param quiet rooms without events in the answer */
async function readReceiptsOnShown({ tx, account, userId }: SlidingContext, shown: readonly RoomResult[], quiet: readonly RoomId[]) {
  if (shown.length + quiet.length === 0) return [];
  if (!tx) return null;
  const events = shown.flatMap(({ content }) => (content.timeline?.events ?? []).map((row) => row.event_id));
  return readReceiptsOn(tx, account, userId, [...shown.map((result) => result.roomId), ...quiet], events);
}
