/** The accounts' locks, and what ingest must know of the devices. */

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
};

export type KnownDevice = {
  readonly since: string | null;
  readonly seq: number;
  readonly one_time_keys: string;
  readonly fallback_keys: string | null;
  readonly counts_seq: number;
  /** to_device_passed of the response's messages; hashes are hex. */
  readonly passed: readonly { readonly hash: string; readonly times: number }[];
  /** How many copies of each of the response's messages are stored; only where doubles are looked for. */
  readonly stored: readonly { readonly hash: string; readonly copies: number }[];
};

/**
 * Locks the account until the transaction ends: one writer at a time. undefined: it is gone.
 * `no key`, so that rows which refer to it (sessions, tokens) can be written meanwhile.
 * Sent as soon as it is called, so that queries sent along with it run after it.
 */
export async function lockAccount(tx: Tx, account: AccountNo): Promise<LockedAccount | undefined> {
  const [row] = await tx<LockedAccount[]>`
    select user_id, position, since, complete, ignored, forgotten from accounts where account = ${account} for no key update`.execute();
  return row;
}

/** Of rows that somebody else has locked: wait for them, or leave them out. */
export type Busy = "wait" | "skip";

/** The same of several. Who has locks and waits for none takes part in no ring: of more than one, skip those that are busy. */
export async function lockAccounts(tx: Tx, accounts: readonly AccountNo[], busy: Busy): Promise<Map<AccountNo, LockedAccount>> {
  const rows = await tx<(LockedAccount & { account: AccountNo })[]>`
    select account, user_id, position, since, complete, ignored, forgotten from accounts where account = any(${[...accounts]}::bigint[])
    order by account for no key update ${skipping(tx, busy)}`.execute();
  return new Map(rows.map((row) => [row.account, row]));
}

/** Which leases are still held under the epoch that is known of them. */
export async function heldLeases(tx: Tx, leases: readonly Lease[]): Promise<ReadonlySet<AccountNo>> {
  if (leases.length === 0) return new Set();
  const rows = await tx<{ account: AccountNo }[]>`
    select l.account from unnest(${leases.map((one) => one.account)}::bigint[], ${leases.map((one) => one.epoch)}::bigint[]) as a(account, epoch)
    join leases l on l.account = a.account and l.epoch = a.epoch and l.expires_at > now()`;
  return new Set(rows.map((row) => row.account));
}

/** A device, and the hashes of the to-device messages that came for it. `overlap`: they may be doubles of stored ones. */
export type AskedDevice = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly hashes: readonly string[];
  readonly overlap: boolean;
};

/** Locks devices, as others number their messages too. Sent as soon as it is called, as above: what is read of messages is read after that. */
export async function lockDevices(tx: Tx, asked: readonly AskedDevice[], busy: Busy): Promise<Map<DeviceNo, KnownDevice>> {
  const messages = asked.flatMap(({ device, hashes, overlap }) => [...new Set(hashes)].map((hash) => ({ device, hash, overlap })));
  const [rows, passed, stored] = await Promise.all([
    tx<(Omit<KnownDevice, "passed" | "stored"> & { device: DeviceNo })[]>`
      select d.device, d.since, d.seq, d.one_time_keys, d.fallback_keys, d.counts_seq
      from unnest(${asked.map((one) => one.device)}::bigint[], ${asked.map((one) => one.account)}::bigint[]) as a(device, account)
      join devices d on d.device = a.device and d.account = a.account
      order by d.device for no key update of d ${skipping(tx, busy)}`.execute(),
    passedCopies(tx, messages),
    storedCopies(
      tx,
      messages.filter((message) => message.overlap),
    ),
  ]);
  const passedOf = Map.groupBy(passed, (row) => row.device);
  const storedOf = Map.groupBy(stored, (row) => row.device);
  return new Map(rows.map(({ device, ...row }) => [device, { ...row, passed: passedOf.get(device) ?? [], stored: storedOf.get(device) ?? [] }]));
}

type Message = { readonly device: DeviceNo; readonly hash: string };

async function passedCopies(tx: Tx, messages: readonly Message[]): Promise<readonly { device: DeviceNo; hash: string; times: number }[]> {
  if (messages.length === 0) return [];
  return await tx<{ device: DeviceNo; hash: string; times: number }[]>`
    select p.device, encode(p.hash, 'hex') as hash, p.times
    from unnest(${messages.map((one) => one.device)}::bigint[], ${messages.map((one) => one.hash)}::text[]) as a(device, hash)
    join to_device_passed p on p.device = a.device and p.hash = decode(a.hash, 'hex') and p.times > 0`;
}

async function storedCopies(tx: Tx, messages: readonly Message[]): Promise<readonly { device: DeviceNo; hash: string; copies: number }[]> {
  if (messages.length === 0) return [];
  return await tx<{ device: DeviceNo; hash: string; copies: number }[]>`
    select a.device, a.hash, count(*) as copies
    from unnest(${messages.map((one) => one.device)}::bigint[], ${messages.map((one) => one.hash)}::text[]) as a(device, hash)
    join to_device t on t.device = a.device and t.hash = decode(a.hash, 'hex') group by a.device, a.hash`;
}

function skipping(tx: Tx, busy: Busy) {
  return busy === "skip" ? tx`skip locked` : tx``;
}
