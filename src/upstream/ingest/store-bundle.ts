/** Stores what the homeserver bundles with an event, after it was asked for that (T7). */

import { type Sql, writeTx } from "../../store/db.ts";
import { writeBundle } from "../../store/ingest/bundle.ts";
import { lockAccount } from "../../store/ingest/device.ts";
import { moveOn } from "../../store/ingest/member-list.ts";
import { cutEvent } from "../../wire/event.ts";
import type { AccountNo, EventId, Position, RoomId } from "../../wire/ids.ts";

export type BundleInput = {
  readonly account: AccountNo;
  readonly roomId: RoomId;
  readonly eventId: EventId;
  /** The event, as the homeserver gives it; null: it gives none. */
  readonly text: string | null;
  /** The account's position before it was asked. */
  readonly position: Position;
};

/** False: the account does not have the event any more. */
export async function storeBundle(sql: Sql, { account, roomId, eventId, text, position }: BundleInput): Promise<boolean> {
  const event = text === null ? null : cutEvent(text, 0);
  const relations = event?.kind === "event" ? event.relations : null;
  return await writeTx(sql, async (tx) => {
    await lockAccount(tx, account);
    const isThere = await writeBundle(tx, account, { roomId, eventId, relations, position });
    if (isThere) await moveOn(tx, account, roomId);
    return isThere;
  });
}
