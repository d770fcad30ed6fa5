/** The beginning of what is stored of rooms, which is compared with the homeserver's: an admin may have purged history (T4). */

import type { AccountNo, EventId, RoomId } from "../wire/ids.ts";
import type { Db, Tx } from "./db.ts";
import { parseIgnored } from "./ignored.ts";
import { OPEN } from "./ingest/row-types.ts";
import { parseFacts } from "./room-facts.ts";
import { deleteUnreferenced } from "./retention/events.ts";

/** `ts`: origin_server_ts, ms. */
export type StoredMessage = { readonly event_id: EventId; readonly ts: number };

/** `lifetime`: the room's own max_lifetime, ms. */
export type StoredHistory = { readonly messages: readonly StoredMessage[]; readonly lifetime: number | undefined };

/** Most messages of a room that are looked at. */
const MOST = 5000;

/**
 * The messages that a client may be sent of a room, oldest first, without those of ignored users, which the homeserver does not give either. State
 * events are left out: v2 shows some of which the homeserver then says that it has none. null: the user is not in the room.
 */
export async function readHistory(db: Db, account: AccountNo, roomId: RoomId): Promise<StoredHistory | null> {
  const [room] = await db<{ facts: string; ignored: string }[]>`
    select f.facts, a.ignored from room_facts f join accounts a using (account)
    where f.account = ${account} and f.room_id = ${roomId} and f.to_ord = ${OPEN}::bigint and f.membership = 'join'`;
  if (!room) return null;
  const messages = await db<StoredMessage[]>`
    with bounds as (
      select min(ord) as first, max(ord) filter (where gap) as gap_ord from timeline where account = ${account} and room_id = ${roomId})
    select x.event_id, e.ts from (
      select o.event_id, o.idx::bigint as place from older o, bounds b
      where o.account = ${account} and o.room_id = ${roomId} and (b.gap_ord is null or b.gap_ord = b.first)
      union all
      select t.event_id, t.ord from timeline t, bounds b where t.account = ${account} and t.room_id = ${roomId} and t.ord >= coalesce(b.gap_ord, 0)
    ) x join events e using (event_id)
    where e.state_key is null and e.sender <> all(${parseIgnored(room.ignored)}::text[])
    order by x.place limit ${MOST}`;
  return { messages, lifetime: parseFacts(room.facts).sources.lifetime };
}

/**
 * Deletes what is stored of a room's timeline from before an event, and fetched history, which may be fetched again. There is a gap before the event
 * then. State stays. The account is locked. Returns whether there was anything.
 */
export async function deleteBefore(tx: Tx, account: AccountNo, roomId: RoomId, eventId: EventId): Promise<boolean> {
  const older = await tx<{ event_id: EventId }[]>`delete from older where account = ${account} and room_id = ${roomId} returning event_id`;
  const chunks = await tx<{ state: string }[]>`delete from older_chunks where account = ${account} and room_id = ${roomId} returning state`;
  const rows = await tx<{ event_id: EventId }[]>`
    with there as (select ord from timeline where account = ${account} and room_id = ${roomId} and event_id = ${eventId}),
    gap as (update timeline t set gap = true from there where t.account = ${account} and t.ord = there.ord)
    delete from timeline t using there where t.account = ${account} and t.room_id = ${roomId} and t.ord < there.ord returning t.event_id`;
  const feed = await tx<{ event_id: EventId | null }[]>`
    with there as (select place from feed_events where account = ${account} and event_id = ${eventId})
    delete from feed_events f using there where f.account = ${account} and f.room_id = ${roomId} and f.place < there.place returning f.event_id`;
  await deleteUnreferenced(tx, [
    ...feed.flatMap((row) => row.event_id ?? []),
    ...[...older, ...rows].map((row) => row.event_id),
    ...chunks.flatMap((row) => JSON.parse(row.state) as EventId[]),
  ]);
  return older.length + rows.length > 0;
}
