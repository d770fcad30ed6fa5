/** Receipts in the form of `m.receipt`. */

import type { ReceiptRow } from "../store/ephemeral.ts";
import type { RoomId } from "../wire/ids.ts";
import { isEventId, isUserId } from "../wire/matrix-id.ts";
import { isUsualReceiptData, readReceiptData } from "../wire/receipt.ts";

/**
 * The content of each room's `m.receipt` as JSON text: `{event: {kind: {user: data}}}`. There is one place for a user's receipts of a kind on
 * an event: it has the unthreaded one, or else the newest (T9, MSC4102). Rows that an older version stored are included as far as strict
 * clients accept them (N6).
 * @param list of equal rank, the last one counts
 */
export function receiptContents(list: readonly ReceiptRow[]): Map<RoomId, string> {
  const contents = [...Map.groupBy(list.every(isUsual) ? list : list.flatMap(sound), (row) => row.room_id)].map(([roomId, ofRoom]) => {
    const events = grouped(
      ofRoom,
      (row) => row.event_id,
      (onEvent) => grouped(onEvent, (row) => row.kind, usersText),
    );
    return [roomId, events] as const;
  });
  return new Map(contents);
}

function isUsual(row: ReceiptRow): boolean {
  return isUserId(row.user_id) && isEventId(row.event_id) && isUsualReceiptData(row.data);
}

function sound(row: ReceiptRow): ReceiptRow | [] {
  const data = isUserId(row.user_id) && isEventId(row.event_id) ? readReceiptData(row.data) : null;
  return data === null ? [] : data.text === row.data ? row : { ...row, data: data.text };
}

function usersText(list: readonly ReceiptRow[]): string {
  const users = new Map<string, string>();
  for (const { user_id, data } of list) {
    const other = users.get(user_id);
    if (other === undefined || isThreaded(other) || !isThreaded(data)) users.set(user_id, data);
  }
  return `{${[...users].map(([user, data]) => `${JSON.stringify(user)}:${data}`).join(",")}}`;
}

function isThreaded(data: string): boolean {
  return readReceiptData(data)?.thread !== "";
}

/** An object with one member per group, in the order of the rows. */
function grouped(list: readonly ReceiptRow[], key: (row: ReceiptRow) => string, text: (group: readonly ReceiptRow[]) => string): string {
  return `{${[...Map.groupBy(list, key)].map(([name, group]) => `${JSON.stringify(name)}:${text(group)}`).join(",")}}`;
}
