/**
 * Whether the user has read everything in a room (T24). Dendrite counts unread events anew only after it has told the user's receipt, and tells
 * the new count no sooner than with the room's next event. If a receipt for all threads is on the room's newest event, nothing is unread. Nothing
 * else follows from a receipt: what came after it, or is in another thread than it, the homeserver has to count. A count that is ahead of the
 * events of its answer, as Synapse's may be, comes again with them.
 */

import type { UserId } from "../../wire/ids.ts";
import type { Receipt } from "../../wire/v2-response.ts";
import type { RoomWork } from "./room-work.ts";

const READS: ReadonlySet<string> = new Set(["m.read", "m.read.private"]);

/** Whether it says how far the user has read in all threads. */
export function isOwnRead({ user_id, kind, thread_id }: Receipt, me: UserId): boolean {
  return user_id === me && thread_id === "" && READS.has(kind);
}

/**
 * Whether the user's receipt, of this response or an earlier one, is on the newest event of the room. False where the order of events is not
 * that in which the homeserver received them, as in a first answer or after a gap: homeservers count by the latter.
 */
export function hasReadAll({ context, stored, section, split, isFull }: RoomWork): boolean {
  if (isFull || section.limited || split.gap || stored.pending_gap) return false;
  const fresh = split.fresh.at(-1);
  const known = fresh === undefined ? context.extra.newest.get(stored.room_id) : undefined;
  if (known?.streamed === false) return false;
  if (known?.isRead === true) return true;
  const newest = fresh?.event_id ?? known?.event_id;
  return section.ephemeral.receipts.some((receipt) => isOwnRead(receipt, context.me) && receipt.event_id === newest);
}
