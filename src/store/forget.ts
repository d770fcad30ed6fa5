/** Deletion of what the homeserver no longer has, as a request named it (D2): finding our rows, and deleting those of a forgotten room. */

import type { AccountNo, DeviceNo, RoomId, UserId } from "../wire/ids.ts";
import { finishReread } from "./rereads.ts";
import type { Db, Sql } from "./db.ts";
import { writeTx } from "./db.ts";

/** Tables keyed by account, with the room. `events` is shared by all accounts: retention deletes bodies without references. */
export const ROOM_TABLES = [
  "timeline",
  "own_events",
  "feed_events",
  "feed_gaps",
  "older",
  "older_chunks",
  "state",
  "members",
  "rooms",
  "standings",
  "room_facts",
  "typing",
  "receipts",
  "account_data",
  "invites",
  "sticky_events",
  "doubted_rooms",
  "background_asks",
] as const;

/** Deletes all rows of a room that the user has forgotten. */
export async function forgetRoom(sql: Sql, account: AccountNo, roomId: RoomId): Promise<void> {
  if (roomId === "") return; // account_data holds the global data under the empty room id
  await writeTx(sql, async (tx) => {
    // As ingest does: an ingest under way finishes first.
    await tx`update accounts set forgotten = forgotten + 1 where account = ${account}`;
    for (const table of ROOM_TABLES) await tx`delete from ${tx(table)} where account = ${account} and room_id = ${roomId}`;
    for (const kind of ["room", "withheld"] as const) await finishReread(tx, { account, kind, name: roomId });
  });
}

/** The account of a user and those of the named devices that are stored (`deviceIds` null: all devices of the account); null if none is. */
export async function findDevices(
  db: Db,
  userId: UserId,
  deviceIds: readonly string[] | null,
): Promise<{ account: AccountNo; devices: DeviceNo[] } | null> {
  const rows = await db<{ account: AccountNo; device: DeviceNo | null; device_id: string | null }[]>`
    select a.account, device, device_id from accounts a left join devices using (account) where user_id = ${userId}`;
  const [first] = rows;
  if (!first) return null;
  const named = rows.filter(({ device_id }) => deviceIds === null || (device_id !== null && deviceIds.includes(device_id)));
  return { account: first.account, devices: named.flatMap(({ device }) => (device === null ? [] : [device])) };
}
