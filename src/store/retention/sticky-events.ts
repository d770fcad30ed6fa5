/** Events that are not sticky any more (MSC4354). */

import type { EventId } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import { deleteUnreferenced } from "./events.ts";
import { BATCH_ROWS } from "./step.ts";

/** A batch of those whose time is over at `at`, and of bodies without references. Returns how many rows. */
export async function deleteExpiredSticky(tx: Tx, at: Date): Promise<number> {
  const deleted = await tx<{ event_id: EventId }[]>`
    delete from sticky_events where (account, ord) in (
      select account, ord from sticky_events where sticky_until <= ${at.getTime()} limit ${BATCH_ROWS} for update skip locked)
    returning event_id`;
  await deleteUnreferenced(
    tx,
    deleted.map((row) => row.event_id),
  );
  return deleted.length;
}
