/** What the homeserver bundles with a stored event: see EventRow.relations. */

import type { AccountNo, EventId, Position, RoomId } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";

export type BundleWrite = { readonly roomId: RoomId; readonly eventId: EventId; readonly relations: string | null; readonly position: Position };

/** Returns whether the account has the event in a timeline or in fetched history. */
export async function writeBundle(tx: Tx, account: AccountNo, { roomId, eventId, relations, position }: BundleWrite): Promise<boolean> {
  const [row] = await tx<{ count: number }[]>`
    with t as (
      update timeline set relations = ${relations}, relations_ord = ${position}
      where account = ${account} and event_id = ${eventId} and room_id = ${roomId} returning 1),
    o as (
      update older set relations = ${relations}, relations_ord = ${position}
      where account = ${account} and event_id = ${eventId} and room_id = ${roomId} returning 1)
    select (select count(*) from t) + (select count(*) from o) as count`;
  return (row?.count ?? 0) > 0;
}
