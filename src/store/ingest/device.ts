/** The accounts' locks, and what ingest needs to know about devices. */

import type { AccountNo, DeviceNo, UserId } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";
import type { Lease } from "../leases.ts";

export type LockedAccount = {
  readonly user_id: UserId;
  readonly position: number;
  readonly since: string | null;
  readonly complete: boolean;
  readonly ignored: string;
  /** How often a room was forgotten. */
  readonly forgotten: number;
  /** The homeserver was restored from a backup (T3). */
  readonly restored: boolean;
  /** A session of the account has a feed (S6). */
  readonly feed: boolean;
};

export type KnownDevice = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly since: string | null;
  readonly seq: number;
  readonly one_time_keys: string;
  readonly fallback_keys: string | null;
  readonly counts_seq: number;
  /** How many uploads of keys were recorded (T11). */
  readonly key_uploads: number;
  /** Recent changes of the given users' device lists that the account's room poll brought (T10). */
  readonly shared: readonly { readonly user_id: UserId; readonly kind: "changed" | "left" }[];
  /** to_device_passed for the response's messages; hashes are hex. */
  readonly passed: readonly { readonly hash: string; readonly times: number }[];
  /** How many copies of each of the response's messages are stored; only where duplicates are looked for. */
  readonly stored: readonly { readonly hash: string; readonly copies: number }[];
};

/**
 * Locks the account until the transaction ends, so that it has one writer at a time. undefined: it is gone. `no key`, so that rows that
 * refer to it (sessions, tokens) can be written meanwhile. Sent as soon as it is called, so that queries sent along with it run after it.
 */
export async function lockAccount(tx: Tx, account: AccountNo): Promise<LockedAccount | undefined> {
  const [row] = await tx<LockedAccount[]>`
    select user_id, position, since, complete, ignored, forgotten, restored, feed from accounts where account = ${account} for no key update`.execute();
  return row;
}

/** What to do about rows that another transaction has locked: wait for them, or leave them out. */
export type Busy = "wait" | "skip";

/**
 * The same for several accounts. A transaction that never waits for a lock cannot be part of a deadlock: when locking more than one account,
 * skip those that are busy.
 */
export async function lockAccounts(tx: Tx, accounts: readonly AccountNo[], busy: Busy): Promise<Map<AccountNo, LockedAccount>> {
  const rows = await tx<(LockedAccount & { account: AccountNo })[]>`
    select account, user_id, position, since, complete, ignored, forgotten, restored, feed from accounts where account = any(${[...accounts]}::bigint[])
    order by account for no key update ${skipping(tx, busy)}`.execute();
  return new Map(rows.map((row) => [row.account, row]));
}

/** Which leases are still held under their known epoch. */
export async function heldLeases(tx: Tx, leases: readonly Lease[]): Promise<ReadonlySet<AccountNo>> {
  if (leases.length === 0) return new Set();
  const rows = await tx<{ account: AccountNo }[]>`
    select l.account from unnest(${leases.map((lease) => lease.account)}::bigint[], ${leases.map((lease) => lease.epoch)}::bigint[]) as a(account, epoch)
    join leases l on l.account = a.account and l.epoch = a.epoch and l.expires_at > now()`;
  return new Set(rows.map((row) => row.account));
}

/** A device, and what its response brought. */
export type AskedDevice = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  /** Hashes of the to-device messages that the response brought for it. */
  readonly hashes: readonly string[];
  /** The messages may be duplicates of stored ones. */
  readonly overlap: boolean;
  /** Users whose changed devices may be recorded already. */
  readonly users: readonly UserId[];
  /** Lock the account's other devices, too, if they have a session or connection: each is to be given the device lists. */
  readonly others: boolean;
};

/** The requested devices that are locked; `others`: the account's devices besides the polled one. */
export type LockedDevices = {
  readonly asked: ReadonlyMap<DeviceNo, KnownDevice>;
  readonly others: ReadonlyMap<AccountNo, readonly KnownDevice[]>;
  /** Accounts that have another device locked elsewhere: nothing can be stored for them now. */
  readonly busy: ReadonlySet<AccountNo>;
};

/**
 * Locks devices, because other transactions number their messages too; in order, also across accounts, so that no two wait for each other.
 * Sent as soon as it is called, as above: messages and lists are read after that.
 */
export async function lockDevices(tx: Tx, asked: readonly AskedDevice[], busy: Busy): Promise<LockedDevices> {
  const messages = asked.flatMap(({ device, hashes, overlap }) => [...new Set(hashes)].map((hash) => ({ device, hash, overlap })));
  const overlapping = messages.filter((message) => message.overlap);
  const [rows, wanted, shared, passed, stored] = await Promise.all([
    lockRows(tx, asked, busy),
    countListeners(tx, asked),
    sharedLists(tx, asked),
    passedCopies(tx, messages),
    storedCopies(tx, overlapping),
  ]);
  const sharedOf = Map.groupBy(shared, (row) => row.device);
  const passedOf = Map.groupBy(passed, (row) => row.device);
  const storedOf = Map.groupBy(stored, (row) => row.device);
  const devices = rows.map((row): KnownDevice => {
    const { device } = row;
    return { ...row, shared: sharedOf.get(device) ?? [], passed: passedOf.get(device) ?? [], stored: storedOf.get(device) ?? [] };
  });
  const isAsked = new Set(asked.map((ask) => ask.device));
  const others = Map.groupBy(
    devices.filter(({ device }) => !isAsked.has(device)),
    (row) => row.account,
  );
  const missing = wanted.filter(({ account, devices: count }) => count > (others.get(account)?.length ?? 0));
  return {
    asked: new Map(devices.filter(({ device }) => isAsked.has(device)).map((row) => [row.device, row])),
    others,
    busy: new Set(busy === "skip" ? missing.map((ask) => ask.account) : []),
  };
}

type DeviceRow = Omit<KnownDevice, "shared" | "passed" | "stored">;

/** A device without a session or connection needs no device lists: its next first answer says that all are outdated (S5). */
function listens(tx: Tx) {
  return tx`exists (select from sessions s where s.device = d.device and s.kind in ('v3', 'connection'))`;
}

async function lockRows(tx: Tx, asked: readonly AskedDevice[], busy: Busy): Promise<readonly DeviceRow[]> {
  const [devices, accounts] = [asked.map((ask) => ask.device), asked.map((ask) => ask.account)];
  const sharing = asked.filter((ask) => ask.others).map((row) => row.account);
  const columns = tx`d.account, d.device, d.since, d.seq, d.one_time_keys, d.fallback_keys, d.counts_seq, d.key_uploads`;
  // Two statements, so that the usual one stays a look-up by key.
  if (sharing.length === 0) {
    return await tx<DeviceRow[]>`
      select ${columns} from unnest(${devices}::bigint[], ${accounts}::bigint[]) as a(device, account)
      join devices d on d.device = a.device and d.account = a.account
      order by d.device for no key update of d ${skipping(tx, busy)}`;
  }
  return await tx<DeviceRow[]>`
    select ${columns} from unnest(${devices}::bigint[], ${accounts}::bigint[]) as a(device, account)
    join devices d on d.account = a.account and (d.device = a.device or (a.account = any(${sharing}::bigint[]) and ${listens(tx)}))
    order by d.device for no key update of d ${skipping(tx, busy)}`;
}

/** How many devices besides the polled one are to be given device lists, for accounts that have such. */
async function countListeners(tx: Tx, asked: readonly AskedDevice[]): Promise<readonly { account: AccountNo; devices: number }[]> {
  const sharing = asked.filter((ask) => ask.others);
  if (sharing.length === 0) return [];
  return await tx<{ account: AccountNo; devices: number }[]>`
    select d.account, count(*) as devices
    from unnest(${sharing.map((ask) => ask.device)}::bigint[], ${sharing.map((ask) => ask.account)}::bigint[]) as a(device, account)
    join devices d on d.account = a.account and d.device <> a.device
    where ${listens(tx)} group by d.account`;
}

type SharedRow = { readonly device: DeviceNo; readonly user_id: UserId; readonly kind: "changed" | "left" };

/** The polls of an account's devices bring the same change at about the same time. An older record counts as another change. */
async function sharedLists(tx: Tx, asked: readonly AskedDevice[]): Promise<readonly SharedRow[]> {
  const pairs = asked.flatMap(({ device, users }) => users.map((user) => ({ device, user })));
  if (pairs.length === 0) return [];
  return await tx<SharedRow[]>`
    select l.device, l.user_id, l.kind
    from unnest(${pairs.map((pair) => pair.device)}::bigint[], ${pairs.map((pair) => pair.user)}::text[]) as a(device, user_id)
    join device_lists l on l.device = a.device and l.user_id = a.user_id and l.shared_at > now() - interval '2 minutes'`;
}

type Message = { readonly device: DeviceNo; readonly hash: string };

async function passedCopies(tx: Tx, messages: readonly Message[]): Promise<readonly { device: DeviceNo; hash: string; times: number }[]> {
  if (messages.length === 0) return [];
  return await tx<{ device: DeviceNo; hash: string; times: number }[]>`
    select p.device, encode(p.hash, 'hex') as hash, p.times
    from unnest(${messages.map((message) => message.device)}::bigint[], ${messages.map((message) => message.hash)}::text[]) as a(device, hash)
    join to_device_passed p on p.device = a.device and p.hash = decode(a.hash, 'hex') and p.times > 0`;
}

async function storedCopies(tx: Tx, messages: readonly Message[]): Promise<readonly { device: DeviceNo; hash: string; copies: number }[]> {
  if (messages.length === 0) return [];
  return await tx<{ device: DeviceNo; hash: string; copies: number }[]>`
    select a.device, a.hash, count(*) as copies
    from unnest(${messages.map((message) => message.device)}::bigint[], ${messages.map((message) => message.hash)}::text[]) as a(device, hash)
    join to_device t on t.device = a.device and t.hash = decode(a.hash, 'hex') group by a.device, a.hash`;
}

function skipping(tx: Tx, busy: Busy) {
  return busy === "skip" ? tx`skip locked` : tx``;
}
