/** What a fetched member list is compared with. */

import type { AccountNo, EventId, RoomId, UserId } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import { parseFacts } from "../room-facts.ts";
import type { KnownRoomRow } from "./known.ts";
import { OPEN } from "./row-types.ts";

export type OpenMember = { readonly user_id: UserId; readonly event_id: EventId; readonly membership: string; readonly from_ord: number };

/** All known members of the room, whatever their membership. */
export async function readOpenMembers(tx: Tx, account: AccountNo, room: RoomId): Promise<OpenMember[]> {
  return await tx<OpenMember[]>`
    select user_id, event_id, membership, from_ord from members where account = ${account} and room_id = ${room} and to_ord = ${OPEN}::bigint`;
}

/** undefined: the account has never had the room. */
export async function readRoom(tx: Tx, account: AccountNo, room: RoomId): Promise<KnownRoomRow | undefined> {
  const [row] = await tx<(Omit<KnownRoomRow, "facts"> & { facts: string | null })[]>`
    select r.room_id, r.last_ord, r.last_ts, r.members, r.unsure_ord, r.pending_gap, f.membership, f.facts
    from rooms r
    left join room_facts f on f.account = r.account and f.room_id = r.room_id and f.to_ord = ${OPEN}::bigint
    where r.account = ${account} and r.room_id = ${room}`;
  return row && { ...row, facts: row.facts === null ? null : parseFacts(row.facts) };
}

/** Ends the batch: the account's new position, at which the room changed. `ended`: members ended. */
export async function writePosition(
  tx: Tx,
  account: AccountNo,
  room: RoomId,
  { position, ended }: { position: number; ended: boolean },
): Promise<void> {
  await Promise.all([
    tx`update accounts set position = ${position} where account = ${account}`,
    tx`
      update standings set changed_ord = ${position}, ended_ord = case when ${ended} then ${position} else ended_ord end
      where account = ${account} and room_id = ${room}`,
  ]);
}

/** The room's next position: what was cached of it is read again. */
export async function moveOn(tx: Tx, account: AccountNo, room: RoomId): Promise<void> {
  await tx`
    with a as (update accounts set position = position + 1 where account = ${account} returning position)
    update standings set changed_ord = a.position from a where account = ${account} and room_id = ${room}`;
}
