/** Profiles of users who share a room with an account (MSC4429), and which of their fields are asked for. */

import type { AccountNo, Position, RoomId, UserId } from "../wire/ids.ts";
import type { ProfileUpdates } from "../wire/profile.ts";
import { type Db, type Sql, type Tx, writeTx } from "./db.ts";
import { heldLeases, lockAccount } from "./ingest/device.ts";
import { readKnownProfiles, writeProfiles } from "./ingest/profiles.ts";
import { OPEN, type ProfileWrite } from "./ingest/row-types.ts";

/** The field that says whether the user shares a room with the account: MET, or null. Without it, the user does. */
export const MEETING = "";
export const MET = '""';

/** Most fields that polls ask for. What clients ask for beyond them is not sent. */
const MAX_FIELDS = 200;

/** `wanted`: by clients. `polled`: what was before the first poll that asked for them is stored. */
export type ProfileFields = { readonly wanted: readonly string[]; readonly polled: readonly string[] };

/** Columns for a query that has accounts as `a`. */
export function profileColumns(db: Db) {
  return db`a.profiles_wanted, a.profiles_polled`;
}

export type StoredProfileFields = { readonly profiles_wanted: string; readonly profiles_polled: string };

export function profileFieldsOf(row: StoredProfileFields): ProfileFields {
  return { wanted: JSON.parse(row.profiles_wanted) as string[], polled: JSON.parse(row.profiles_polled) as string[] };
}

/** A client asks for those fields. True: not all of them were asked for before. */
export async function wantProfiles(db: Db, account: AccountNo, fields: readonly string[]): Promise<boolean> {
  const changed = await db`
    with wanted as (
      select json_agg(field order by place)::text as list from (
        select field, min(place) as place from (
          select value as field, ordinality as place from accounts a, json_array_elements_text(a.profiles_wanted::json) with ordinality where account = ${account}
          union all select field, place + ${MAX_FIELDS} from unnest(${[...fields]}::text[]) with ordinality as n(field, place)) all_fields
        group by field order by min(place) limit ${MAX_FIELDS}) distinct_fields)
    update accounts set profiles_wanted = wanted.list from wanted where account = ${account} and profiles_wanted <> wanted.list`;
  return changed.count > 0;
}

/** What the homeserver says of fields that polls have not asked for so far. */
export type ProfileSnapshot = {
  readonly account: AccountNo;
  /** Of the account's lease. */
  readonly epoch: number;
  /** accounts.since when it was asked: polls bring everything that changes after it. */
  readonly since: string;
  readonly fields: readonly string[];
  /** Everybody who shares a room. */
  readonly users: ReadonlyMap<UserId, ProfileUpdates>;
};

/**
 * Stores it: of the user, and of users whose member events are stored, since nobody else is shown. From now on polls ask for those fields, too.
 * False: the account is polled by somebody else by now.
 */
export function storeProfileSnapshot(sql: Sql, { account, epoch, since, fields, users }: ProfileSnapshot): Promise<boolean> {
  return writeTx(sql, async (tx) => {
    const known = await lockAccount(tx, account);
    if (known?.since !== since || !(await heldLeases(tx, [{ account, epoch }])).has(account)) return false;
    const stored = await storedUsers(tx, account);
    const shown = await shownUsers(tx, account, [...users.keys()]);
    const before = new Map(
      (await readKnownProfiles(tx, [{ account, users: [...stored, ...shown] }])).map((row) => [`${row.user_id} ${row.field}`, row.value]),
    );
    const profiles: ProfileWrite[] = [];
    for (const user_id of new Set([...stored, ...shown, known.user_id])) {
      for (const field of fields) {
        const value = users.get(user_id)?.get(field) ?? null;
        if ((before.get(`${user_id} ${field}`) ?? null) !== value)
          profiles.push({ user_id, field, value, ord: known.position + profiles.length + 1 });
      }
    }
    await Promise.all(writeProfiles(tx, [{ account, writes: { profiles } }]));
    await tx`
      update accounts set position = position + ${profiles.length}, profiles_polled = (profiles_polled::jsonb || ${JSON.stringify(fields)}::text::jsonb)::text
      where account = ${account}`;
    return true;
  });
}

async function storedUsers(tx: Tx, account: AccountNo): Promise<UserId[]> {
  const rows = await tx<{ user_id: UserId }[]>`select distinct user_id from profiles where account = ${account}`;
  return rows.map((row) => row.user_id);
}

async function shownUsers(tx: Tx, account: AccountNo, users: readonly UserId[]): Promise<UserId[]> {
  const rows = await tx<{ user_id: UserId }[]>`
    select user_id from unnest(${[...users]}::text[]) as u(user_id)
    where user_id in (select m.user_id from members m where m.account = ${account} and m.to_ord = ${OPEN}::bigint)`;
  return rows.map((row) => row.user_id);
}

/** The homeserver does not send profiles any more: what is stored gets out of date. */
export async function forgetProfiles(sql: Sql, account: AccountNo): Promise<void> {
  await writeTx(sql, async (tx) => {
    await tx`update accounts set profiles_polled = '[]', forgotten = forgotten + 1 where account = ${account}`;
    await tx`delete from profiles where account = ${account}`;
  });
}

/** `changed`: after the asked ordinal. */
export type ProfileRow = { readonly user_id: UserId; readonly field: string; readonly value: string | null; readonly changed: boolean };

export type ProfileQuestion = {
  readonly account: AccountNo;
  /** What changed after it, of whomever; null: nothing is asked for because it changed. */
  readonly after: number | null;
  readonly to: Position;
  /** Of these everything, and of the joined members of these rooms. */
  readonly users: readonly UserId[];
  readonly rooms: readonly RoomId[];
  /** null: all. */
  readonly fields: readonly string[] | null;
};

/** The rows, by user and field. */
export async function readProfiles(db: Db, { account, after, to, users, rooms, fields }: ProfileQuestion): Promise<ProfileRow[]> {
  const from = after ?? to;
  return db<ProfileRow[]>`
    select user_id, field, value, ord > ${from} as changed from profiles
    where account = ${account} and ord > ${from} and ord <= ${to} and (field = ${MEETING} or ${fields}::text[] is null or field = any(${fields}::text[]))
    union
    select user_id, field, value, ord > ${from} from profiles
    where account = ${account} and ord <= ${to} and (field = ${MEETING} or ${fields}::text[] is null or field = any(${fields}::text[]))
      and user_id = any(array(
        select unnest(${[...users]}::text[])
        union select m.user_id from members m
        where m.account = ${account} and m.room_id = any(${[...rooms]}::text[]) and m.to_ord = ${OPEN}::bigint and m.membership = 'join'))
    order by user_id, field`;
}
