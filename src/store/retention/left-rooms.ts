/**
 * Rooms that the user has left, once every token has been sent that: nothing of them is shown again. Sliding sync still lists rooms that the
 * user was kicked or banned from (M9), so those stay; of others it sends that they were left, which `standings` records.
 */

import type { EventId, RoomId } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import { OPEN } from "../ingest/row-types.ts";
import type { Deleted, SweptAccount } from "./account.ts";
import { deleteUnreferenced } from "./events.ts";
import { BATCH_ROWS } from "./step.ts";

/** Rooms that are checked together. */
const ROOM_BATCH = 100;
/** Tables that may have many rows of a room, and refer to event bodies. */
const LARGE = ["timeline", "older", "state", "members"] as const;
/** The other tables; `room_facts` last, because it records that the room was left. Invites have a rule of their own. */
const SMALL = ["older_chunks", "own_events", "receipts", "typing", "account_data", "background_asks", "rooms", "room_facts"] as const;

/** `rooms`: how many were deleted completely. */
export type LeftRooms = Deleted & { readonly rooms: number };

/**
 * Deletes a batch of the rows of rooms that were left (or banned from) at or below the horizon, with nothing above it. A room that is
 * deleted only in part is not shown either, and becomes complete again when the user joins: ingest compares the room with the response.
 */
export async function deleteLeftRooms(tx: Tx, { account, horizon }: SweptAccount): Promise<LeftRooms> {
  const left = await tx<{ room_id: RoomId }[]>`
    select f.room_id from room_facts f
    where f.account = ${account} and f.to_ord = ${tx.unsafe(OPEN)} and f.membership in ('leave', 'ban') and f.from_ord <= ${horizon}
      and not exists (select from rooms r where r.account = f.account and r.room_id = f.room_id and r.last_ord > ${horizon})
      and not exists (select from feed_events e where e.account = f.account and e.room_id = f.room_id and (e.place > ${horizon} or e.held))
      and not exists (select from account_data d where d.account = f.account and d.room_id = f.room_id and d.ord > ${horizon})
      and not exists (select from typing t where t.account = f.account and t.room_id = f.room_id and t.ord > ${horizon})
      and not exists (select from receipts r where r.account = f.account and r.room_id = f.room_id and r.ord > ${horizon})
      and not exists (
        select from standings s where s.account = f.account and s.room_id = f.room_id and (s.kicked or (f.membership = 'ban' and s.ever_joined)))
    limit ${ROOM_BATCH}`;
  if (left.length === 0) return { rows: 0, events: 0, rooms: 0, more: false };
  const ids = left.map((row) => row.room_id);
  let rows = 0;
  let events = 0;
  for (const table of LARGE) {
    const deleted = await tx<{ event_id: EventId }[]>`
      delete from ${tx(table)} where ctid = any(array(
        select ctid from ${tx(table)} where account = ${account} and room_id = any(${ids}::text[]) limit ${BATCH_ROWS}))
      returning event_id`;
    rows += deleted.length;
    events += await deleteUnreferenced(
      tx,
      deleted.map((row) => row.event_id),
    );
    if (deleted.length === BATCH_ROWS) return { rows, events, rooms: 0, more: true };
  }
  for (const table of SMALL) {
    const deleted = await tx<{ state: string | null }[]>`
      delete from ${tx(table)} where account = ${account} and room_id = any(${ids}::text[])
      returning ${table === "older_chunks" ? tx`state` : tx`null::text as state`}`;
    rows += deleted.length;
    events += await deleteUnreferenced(
      tx,
      deleted.flatMap((row) => (row.state === null ? [] : (JSON.parse(row.state) as EventId[]))),
    );
  }
  // Readers that cache the account's rooms read them again.
  await tx`update accounts set forgotten = forgotten + 1 where account = ${account}`;
  return { rows, events, rooms: ids.length, more: ids.length === ROOM_BATCH };
}
