/** Notes whom accounts ignore no more: what the homeserver withheld of those users has to be fetched (T2). */

import type { AccountNo } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import type { RoomWrites } from "./row-types.ts";
import type { Statement } from "./statement.ts";
import { some } from "./statement.ts";

/** A user who is ignored again is noted no more. */
export function writeIgnoring(
  tx: Tx,
  batches: readonly { readonly account: AccountNo; readonly writes: Pick<RoomWrites, "ignored" | "unignored"> }[],
): Statement[] {
  const lists = batches.flatMap(({ account, writes: { ignored } }) => (ignored === null ? [] : [{ account, ignored }]));
  const ended = batches.flatMap(({ account, writes }) => writes.unignored.map((row) => ({ account, ...row })));
  return [
    ...some(
      lists,
      (rows) => tx`
      delete from unignored_users u using json_to_recordset(${rows}::text::json) r (account bigint, ignored text)
      where u.account = r.account and u.user_id in (select json_array_elements_text(r.ignored::json))`,
    ),
    ...some(
      ended,
      (rows) => tx`
      insert into unignored_users (account, user_id)
      select account, user_id from json_to_recordset(${rows}::text::json) r (account bigint, user_id text) on conflict do nothing`,
    ),
    ...some(
      [...new Set(ended.map(({ account }) => account))],
      (accounts) => tx`
      update accounts set invites_due_at = greatest(now(), invites_asked_at + interval '1 hour')
      where account in (select json_array_elements_text(${accounts}::text::json)::bigint)`,
    ),
  ];
}
