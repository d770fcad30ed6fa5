/** The account's lock, and what ingest must know of the device. */

import type { AccountNo, DeviceNo, UserId } from "../../wire/ids.ts";
import type { Tx } from "../db.ts";

export type LockedAccount = {
  readonly user_id: UserId;
  readonly position: number;
  readonly since: string | null;
  readonly complete: boolean;
  readonly ignored: string;
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
    select user_id, position, since, complete, ignored from accounts where account = ${account} for no key update`.execute();
  return row;
}

/** False where the lease is another's by now, or has run out. */
export async function holdsLease(tx: Tx, account: AccountNo, epoch: number | null): Promise<boolean> {
  if (epoch === null) return true;
  const rows = await tx`select from leases where account = ${account} and epoch = ${epoch} and expires_at > now()`;
  return rows.length > 0;
}

/** Locks the device, as others number its messages too; undefined: it is gone. */
export async function lockDevice(
  tx: Tx,
  account: AccountNo,
  device: DeviceNo,
  hashes: readonly string[],
  overlap: boolean,
): Promise<KnownDevice | undefined> {
  const ids = [...new Set(hashes)];
  const [[row], passed, stored] = await Promise.all([
    tx<Omit<KnownDevice, "passed" | "stored">[]>`
      select since, seq, one_time_keys, fallback_keys, counts_seq from devices where device = ${device} and account = ${account} for no key update`,
    ids.length === 0
      ? []
      : tx<{ hash: string; times: number }[]>`
          select encode(p.hash, 'hex') as hash, p.times from unnest(${ids}::text[]) h (hash)
          join to_device_passed p on p.device = ${device} and p.hash = decode(h.hash, 'hex') and p.times > 0`,
    ids.length === 0 || !overlap
      ? []
      : tx<{ hash: string; copies: number }[]>`
          select h.hash, count(*) as copies from unnest(${ids}::text[]) h (hash)
          join to_device t on t.device = ${device} and t.hash = decode(h.hash, 'hex') group by h.hash`,
  ]);
  return row && { ...row, passed, stored };
}
