/** Profiles as ingest reads and writes them. */

import type { AccountNo, UserId } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import type { ProfileWrite, RoomWrites } from "./row-types.ts";
import type { Statement } from "./statement.ts";
import { some } from "./statement.ts";

export type KnownProfile = Omit<ProfileWrite, "ord">;

/** All fields of those users. */
export async function readKnownProfiles(
  tx: Tx,
  asked: readonly { readonly account: AccountNo; readonly users: readonly UserId[] }[],
): Promise<(KnownProfile & { readonly account: AccountNo })[]> {
  const pairs = asked.flatMap(({ account, users }) => users.map((user) => ({ account, user })));
  if (pairs.length === 0) return [];
  return await tx<(KnownProfile & { readonly account: AccountNo })[]>`
    select account, user_id, field, value
    from unnest(${pairs.map(({ account }) => account)}::bigint[], ${pairs.map(({ user }) => user)}::text[]) as a(account, user_id)
    join profiles using (account, user_id)`;
}

export function writeProfiles(
  tx: Tx,
  batches: readonly { readonly account: AccountNo; readonly writes: Pick<RoomWrites, "profiles"> }[],
): Statement[] {
  return some(
    batches.flatMap(({ account, writes }) => writes.profiles.map((row) => ({ account, ...row }))),
    (rows) => tx`
    insert into profiles (account, user_id, field, value, ord)
    select account, user_id, field, value, ord
    from json_to_recordset(${rows}::text::json) r (account bigint, user_id text, field text, value text, ord bigint)
    on conflict (account, user_id, field) do update set value = excluded.value, ord = excluded.ord`,
  );
}
