/** What comes with a room besides its events: typing, receipts, account data; and the end of an invite. */

import { isObject } from "../../wire/identifier.ts";
import type { AccountDataItem } from "../../wire/v2-response.ts";
import type { KnownRoom } from "../../store/ingest/known.ts";
import type { RoomId, UserId } from "../../wire/ids.ts";
import type { Draft } from "./draft.ts";
import type { PlanContext } from "./plan-context.ts";
import type { RoomWork } from "./room-work.ts";

export function planRoomParts(work: RoomWork): void {
  const { draft, context, stored, section, to } = work;
  const room = stored.room_id;
  if (to === "leave") planTyping(draft, stored, []);
  else if (section.ephemeral.typing !== null) planTyping(draft, stored, section.ephemeral.typing);
  for (const receipt of section.ephemeral.receipts) {
    const known = context.known.receipt(room, receipt.user_id, receipt.kind, receipt.thread_id);
    if (known?.event_id === receipt.event_id && known.data === receipt.data) continue;
    // For a room that was read again they are from the answer that was set aside, and a later one may have been stored since.
    if (known && context.reread.has(room) && timeOf(known.data) > timeOf(receipt.data)) continue;
    draft.receipts.push({ room_id: room, ...receipt, ord: draft.next("receipts", room) });
  }
  planAccountData(draft, context, room, section.accountData);
  endInvite(draft, stored);
}

function timeOf(receipt: string): number {
  const data: unknown = JSON.parse(receipt);
  return isObject(data) && typeof data["ts"] === "number" ? data["ts"] : 0;
}

/** The full set of typing users; its order means nothing, and a missing row is an empty set. */
export function planTyping(draft: Draft, room: KnownRoom, users: readonly UserId[]): void {
  const stored = JSON.parse(room.typing ?? "[]") as string[];
  const now = [...new Set(users)];
  if (stored.length === now.length && now.every((user) => stored.includes(user))) return;
  draft.typing.push({ room_id: room.room_id, users: JSON.stringify(now), ord: draft.next("typing", room.room_id) });
}

/** Room '' is global. */
export function planAccountData(draft: Draft, context: PlanContext, room: RoomId | "", items: readonly AccountDataItem[]): void {
  for (const { type, body } of items) {
    if (context.known.accountData(room, type) === body) continue;
    draft.accountData.push({ room_id: room, type, body, ord: draft.next("account_data", room === "" ? undefined : room) });
  }
}

/** Ends a pending invite or knock of the room. */
export function endInvite(draft: Draft, { room_id, pending }: KnownRoom): void {
  if (pending !== null) draft.inviteEnds.push({ room_id, ord: draft.next("invites", room_id) });
}
