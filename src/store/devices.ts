/** Devices and their accounts: how far each was polled, and how they are removed. */

import type { AccountNo, DeviceNo, UserId } from "../wire/ids.ts";
import { type Db, type Sql, type Tx, writeTx } from "./db.ts";
import { ROOM_TABLES } from "./forget.ts";
import { profileColumns, type ProfileFields, profileFieldsOf, type StoredProfileFields } from "./profiles.ts";

/** Where polling as a device continues. `accountSince`: the end of the last response with rooms, whichever device polled it. */
export type PollState = {
  readonly userId: UserId;
  readonly deviceId: string;
  readonly accountSince: string | null;
  readonly deviceSince: string | null;
  /** Up to where the stored presence is complete; null: it never was. */
  readonly presenceSince: string | null;
  /** How many uploads of the device's keys were recorded (T11). */
  readonly keyUploads: number;
  /** Nothing is stored about the account's rooms. */
  readonly untouched: boolean;
  /** The homeserver has locked the account (T17). */
  readonly locked: boolean;
  /** The homeserver was restored from a backup, and the device's next sync has to wait for its turn (T3). */
  readonly restored: boolean;
  readonly profiles: ProfileFields;
};

/** A device that can be polled. */
export type LiveDevice = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  /** It polled the account's rooms last, or no device has yet: it can continue without a take-over. */
  readonly current: boolean;
  /** A session of the account asks for presence. */
  readonly presence: boolean;
  /** A connection of the account asks for thread subscriptions, and was used lately: they cost the homeserver a long poll of their own. */
  readonly threads: boolean;
};

/** Null: there is no such device. */
export async function pollState(db: Db, device: DeviceNo): Promise<PollState | null> {
  const rows = await db<(Omit<PollState, "profiles"> & StoredProfileFields)[]>`
    select a.user_id as "userId", d.device_id as "deviceId", a.since as "accountSince", d.since as "deviceSince", d.key_uploads as "keyUploads",
      a.presence_since as "presenceSince", a.position = 0 as untouched, a.locked is not null as locked, d.restored, ${profileColumns(db)}
    from devices d join accounts a using (account) where d.device = ${device}`;
  const [row] = rows;
  if (!row) return null;
  const { profiles_wanted, profiles_polled, ...state } = row;
  return { ...state, profiles: profileFieldsOf({ profiles_wanted, profiles_polled }) };
}

/** The devices of those accounts that have a live token and were seen within `idleMs`, newest token first. */
export async function liveDevices(db: Db, accounts: readonly AccountNo[], idleMs: number): Promise<LiveDevice[]> {
  if (accounts.length === 0) return [];
  return db<LiveDevice[]>`
    select d.account, d.device, a.since is not distinct from d.since as current,
           exists (select 1 from sessions s where s.account = d.account and s.presence) as presence,
           exists (select 1 from sessions s where s.account = d.account and s.threads and s.used_at > now() - interval '1 hour') as threads
    from accounts a
    join devices d using (account)
    join (select device, max(created_at) as newest from tokens where account = any(${[...accounts]}::bigint[]) and dead_at is null group by device) t using (device)
    where a.account = any(${[...accounts]}::bigint[]) and d.seen_at > now() - ${idleMs}::double precision * interval '1 millisecond'
    order by t.newest desc`;
}

/** The accounts that got a token within `withinMs`: they may have a new device, which no process polls yet. */
export async function accountsWithNewTokens(db: Db, withinMs: number): Promise<Set<AccountNo>> {
  const rows = await db<{ account: AccountNo }[]>`
    select distinct account from tokens where created_at > now() - ${withinMs}::double precision * interval '1 millisecond'`;
  return new Set(rows.map((row) => row.account));
}

/** The device with that id; null: unknown. */
export async function findDevice(db: Db, userId: UserId, deviceId: string): Promise<{ account: AccountNo; device: DeviceNo } | null> {
  const rows = await db<{ account: AccountNo; device: DeviceNo }[]>`
    select d.account, d.device from devices d join accounts a using (account) where a.user_id = ${userId} and d.device_id = ${deviceId}`;
  return rows[0] ?? null;
}

/** The account of a user; null: unknown. */
export async function findAccount(db: Db, userId: UserId): Promise<AccountNo | null> {
  const rows = await db<{ account: AccountNo }[]>`select account from accounts where user_id = ${userId}`;
  return rows[0]?.account ?? null;
}

/** Records that a client of each of these devices was seen just now, and so of its account. */
export async function touchDevices(db: Db, devices: readonly DeviceNo[]): Promise<void> {
  if (devices.length === 0) return;
  // Accounts before devices, and in order, like every transaction that locks both: no two wait for each other.
  await db`
    with locked as materialized (
      select account from accounts where account in (select account from devices where device = any(${[...devices]}::bigint[]))
      order by account for no key update),
    seen as (update accounts set seen_at = now() where account in (select account from locked) returning account)
    update devices set seen_at = now() where device = any(${[...devices]}::bigint[]) and account in (select account from seen)`;
}

/**
 * The homeserver has forgotten the device's `since` (D26): polling starts from scratch, and the device's sessions end, because the changes
 * of device lists in between cannot be determined. For a device that polls rooms, the whole account is reset instead.
 */
export async function resetDevice(sql: Sql, device: DeviceNo): Promise<void> {
  await writeTx(sql, async (tx) => {
    await tx`update devices set since = null where device = ${device}`;
    await tx`delete from sessions where device = ${device}`;
  });
}

/**
 * Removes a device with its tokens, sessions and to-device messages (D2: logged out or deleted), and with the last device the account.
 * `accountDeleted`: it was the last one. Null: there was no such device.
 */
export function deleteDevice(sql: Sql, device: DeviceNo): Promise<{ account: AccountNo; accountDeleted: boolean } | null> {
  return writeTx(sql, async (tx) => {
    // Lock the account's row first, as ingest does, so that the two never wait for each other.
    const [found] = await tx<{ account: AccountNo }[]>`
      select account from accounts where account = (select account from devices where device = ${device}) for update`;
    if (!found) return null;
    await tx`delete from devices where device = ${device}`;
    const [left] = await tx`select 1 from devices where account = ${found.account} limit 1`;
    if (!left) await deleteAccountRows(tx, found.account);
    return { account: found.account, accountDeleted: !left };
  });
}

/** Removes an account and everything that is keyed by it (D2: deactivated, logged out everywhere). Shared event bodies are left to retention. */
export async function deleteAccount(sql: Sql, account: AccountNo): Promise<void> {
  await writeTx(sql, (tx) => deleteAccountRows(tx, account));
}

/** Tables without a foreign key to accounts, because they are written most. */
const LOG_TABLES = [...ROOM_TABLES, "presence", "profiles"] as const;

/** Runs within the caller's transaction. */
export async function deleteAccountRows(tx: Tx, account: AccountNo): Promise<void> {
  // First the row that every ingest of the account locks: an ingest under way finishes, a later one finds no account.
  await tx`delete from accounts where account = ${account}`;
  for (const table of LOG_TABLES) await tx`delete from ${tx(table)} where account = ${account}`;
}
