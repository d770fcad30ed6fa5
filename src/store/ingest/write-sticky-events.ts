/** Writes sticky events (MSC4354). */

import type { AccountNo } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import type { RoomWrites } from "./row-types.ts";
import type { Statement } from "./statement.ts";
import { some } from "./statement.ts";

type StickyWrites = Pick<RoomWrites, "stickyEvents" | "stickyEnds">;

/** Call it before the redactions are written: a redacted event is not sticky. */
export function writeStickyEvents(tx: Tx, batches: readonly { readonly account: AccountNo; readonly writes: StickyWrites }[]): Statement[] {
  return [
    ...some(
      batches.flatMap(({ account, writes }) => writes.stickyEnds.map((row) => ({ account, ...row }))),
      (rows) => tx`
      delete from sticky_events s using json_to_recordset(${rows}::text::json) r (account bigint, room_id text)
      where s.account = r.account and s.room_id = r.room_id`,
    ),
    ...some(
      batches.flatMap(({ account, writes }) => writes.stickyEvents.map((row) => ({ account, ...row }))),
      (rows) => tx`
      insert into sticky_events (account, ord, room_id, event_id, unsigned, age_ts, sticky_until)
      select account, ord, room_id, event_id, unsigned, age_ts, sticky_until
      from json_to_recordset(${rows}::text::json) r (
        account bigint, ord bigint, room_id text, event_id text, unsigned text, age_ts bigint, sticky_until bigint)
      on conflict (event_id, account) do update set ord = excluded.ord, sticky_until = excluded.sticky_until`,
    ),
  ];
}
