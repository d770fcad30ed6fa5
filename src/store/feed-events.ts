/** What feeds are sent (S6): the events that an account got, each at a place of its own, and gaps for those that could not be had. */

import type { AccountNo, EventId, Position, RoomId, UserId } from "../wire/ids.ts";
import type { Db } from "./db.ts";
import { bodyOf, type EventRow } from "./event-row.ts";

/** Events of a room are missing after an event; null: from where the feed has the room on. `prev_batch`: right before the next event; null: not known. */
export type FeedGap = { readonly after: EventId | null; readonly prev_batch: string | null };

export type FeedRow =
  | { readonly place: number; readonly kind: "event"; readonly event: EventRow }
  | {
      readonly place: number;
      readonly kind: "gap";
      readonly roomId: RoomId;
      readonly gap: FeedGap;
      /** The next event; null: there is none yet. */
      readonly before: EventId | null;
    };

export type FeedWindow = {
  /** exclusive */
  readonly after: Position;
  /** inclusive */
  readonly to: Position;
  readonly limit: number;
  /** null: of all rooms. */
  readonly rooms: readonly RoomId[] | null;
  readonly ignored: readonly UserId[];
};

type StoredRow = EventRow & { readonly place: number; readonly gap: string | null; readonly before: EventId | null };

/** The first `limit` rows of the window. Messages of ignored users are left out (D25); their state events stay, as in v2. */
export async function readFeed(db: Db, account: AccountNo, { after, to, limit, rooms, ignored }: FeedWindow): Promise<FeedRow[]> {
  const rows = await db<StoredRow[]>`
    select f.place, f.room_id, f.gap, f.event_id, f.unsigned, f.age_ts, f.txn_id, f.txn_device, e.type, e.state_key, e.sender, e.ts,
      ${bodyOf(db, account)} as body, case when f.gap is not null then (
        select n.event_id from feed_events n where n.account = f.account and n.room_id = f.room_id and n.place > f.place and n.gap is null
        order by n.place limit 1) end as before
    from feed_events f left join events e using (event_id)
    where f.account = ${account} and f.place > ${after} and f.place <= ${to} and not f.held
      and (${rooms && [...rooms]}::text[] is null or f.room_id = any(${rooms && [...rooms]}::text[]))
      and (f.gap is not null or e.state_key is not null or (e.sender is not null and e.sender <> all(${[...ignored]}::text[])))
    order by f.place limit ${limit}`;
  return rows.map(({ place, gap, before, ...event }) =>
    gap === null ? { place, kind: "event", event } : { place, kind: "gap", roomId: event.room_id, gap: JSON.parse(gap) as FeedGap, before },
  );
}

/** A session of the account has a feed from now on: what comes is recorded for it. */
export async function beginFeed(db: Db, account: AccountNo): Promise<void> {
  await db`update accounts set feed = true where account = ${account}`;
}
