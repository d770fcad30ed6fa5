/** Sticky events (MSC4354) of the rooms that an account is in, by the order in which it got them. */

import type { AccountNo, EventId, RoomId } from "../wire/ids.ts";
import type { Db } from "./db.ts";
import { bodyOf, type EventRow } from "./event-row.ts";

/** `sticky_until`: ms since the epoch. */
export type StickyRow = { readonly ord: number; readonly room_id: RoomId; readonly event_id: EventId; readonly sticky_until: number };

/** The events of those ordinals that still exist, in order. */
export async function readStickyEvents(db: Db, account: AccountNo, ords: readonly number[]): Promise<EventRow[]> {
  if (ords.length === 0) return [];
  return db<EventRow[]>`
    select s.room_id, s.event_id, s.unsigned, s.age_ts, s.sticky_until, e.type, e.state_key, e.sender, ${bodyOf(db, account)} as body
    from sticky_events s join events e using (event_id)
    where s.account = ${account} and s.ord = any(${[...ords]}::bigint[])
    order by s.ord`;
}
