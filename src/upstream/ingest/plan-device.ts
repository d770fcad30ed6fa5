/** To-device messages, device lists and key counts: the device's part of a response. */

import { createHash } from "node:crypto";

import type { KnownDevice } from "../../store/ingest/device.ts";
import type { DeviceListRow, DeviceWrites, ToDeviceRow } from "../../store/ingest/rows.ts";
import type { UserId } from "../../wire/ids.ts";
import type { V2Response } from "../../wire/v2-response.ts";

/** SHA-256 of a to-device message's bytes, hex: by which doubles are told. */
export function messageHash(body: string): string {
  return createHash("sha256").update(body).digest("hex");
}

export type DeviceInput = {
  readonly response: V2Response;
  /** Of response.toDevice, in its order. */
  readonly hashes: readonly string[];
  /** Of messages whose text the database refuses (N3). */
  readonly asBytes: ReadonlySet<string>;
};

/** `position` is the account's before the batch (D19). */
export function planDevice(known: KnownDevice, { response, hashes, asBytes }: DeviceInput, position: number): DeviceWrites {
  let seq = known.seq;
  const passed = new Map(known.passed.map((row) => [row.hash, row.times]));
  const stored = new Map(known.stored.map((row) => [row.hash, row.copies]));
  const dropped = new Map<string, number>();
  const toDevice: ToDeviceRow[] = [];
  for (const [index, body] of response.toDevice.entries()) {
    const hash = hashes[index] ?? messageHash(body);
    if (take(passed, hash)) {
      dropped.set(hash, (dropped.get(hash) ?? 0) + 1);
      // That copy is in the queue as well: it accounts for this message, and for no second one.
      take(stored, hash);
    } else if (!take(stored, hash)) {
      seq += 1;
      const bytes = asBytes.has(hash) ? Buffer.from(body).toString("base64") : null;
      toDevice.push({ seq, before_pos: position, body: bytes === null ? body : "", bytes, hash });
    }
  }
  const deviceLists: DeviceListRow[] = [];
  for (const [user_id, kind] of listChanges(response)) {
    seq += 1;
    deviceLists.push({ user_id, kind, seq });
  }
  const one_time_keys = response.oneTimeKeys ?? known.one_time_keys;
  const fallback_keys = response.fallbackKeys ?? known.fallback_keys;
  let counts_seq = known.counts_seq;
  if (one_time_keys !== known.one_time_keys || fallback_keys !== known.fallback_keys) {
    seq += 1;
    counts_seq = seq;
  }
  const taken = [...dropped].map(([hash, times]) => ({ hash, times }));
  return { since: response.next_batch, seq, one_time_keys, fallback_keys, counts_seq, toDevice, passed: taken, deviceLists };
}

/** One entry a user. Both in one response: changed, for a device list fetched in vain does no harm and one never fetched does. */
function listChanges(response: V2Response): Map<UserId, "changed" | "left"> {
  const changes = new Map<UserId, "changed" | "left">();
  for (const user of response.deviceLists.left) changes.set(user, "left");
  for (const user of response.deviceLists.changed) changes.set(user, "changed");
  return changes;
}

/** Takes one of what is there; false where there is none. */
function take(counts: Map<string, number>, key: string): boolean {
  const count = counts.get(key) ?? 0;
  if (count <= 0) return false;
  counts.set(key, count - 1);
  return true;
}
