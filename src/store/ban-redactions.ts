/** Bans and kicks that say that the user's events are redacted (T5, MSC4293), and the events that an account has of that user. */

import type { AccountNo, EventId, RoomId, UserId } from "../wire/ids.ts";
import type { Db } from "./db.ts";
import { bodyOf } from "./event-row.ts";
import { OPEN } from "./ingest/row-types.ts";
import { parseFacts } from "./room-facts.ts";

/** In a room that the account's user is in. */
export type StoredBan = {
  readonly roomId: RoomId;
  readonly banned: UserId;
  readonly ord: number;
  readonly body: string;
  readonly roomVersion: string | undefined;
};

/** null: it is not stored any more, or the account's user has left the room. */
export async function findBan(db: Db, account: AccountNo, eventId: EventId): Promise<StoredBan | null> {
  const [row] = await db<(Omit<StoredBan, "roomVersion"> & { facts: string })[]>`
    select m.room_id as "roomId", m.user_id as banned, m.from_ord as ord, ${bodyOf(db, account)} as body, f.facts
    from members m join events e using (event_id)
    join room_facts f on f.account = m.account and f.room_id = m.room_id and f.to_ord = ${OPEN}::bigint and f.membership = 'join'
    where m.account = ${account} and m.event_id = ${eventId} order by m.from_ord limit 1`;
  return row ? { roomId: row.roomId, banned: row.banned, ord: row.ord, body: row.body, roomVersion: parseFacts(row.facts).room_version } : null;
}

export type BannedEvent = {
  readonly event_id: EventId;
  readonly type: string;
  readonly body: string;
  readonly pruned: boolean;
  readonly unsigned: string | null;
};

/** The banned user's events from before the ban that the account has not been told to be redacted, oldest first. */
export async function eventsBeforeBan(db: Db, account: AccountNo, { roomId, banned, ord }: StoredBan): Promise<BannedEvent[]> {
  return await db<BannedEvent[]>`
    select e.event_id, e.type, e.body, e.pruned, x.unsigned
    from (
      select event_id, unsigned, ord as place from timeline where account = ${account} and room_id = ${roomId} and ord < ${ord}
      union all select event_id, unsigned, idx from older where account = ${account} and room_id = ${roomId}
    ) x join events e using (event_id)
    where e.sender = ${banned} and e.type <> 'm.room.create' and (x.unsigned is null or x.unsigned not like '%"redacted_because"%')
    order by x.place`;
}
