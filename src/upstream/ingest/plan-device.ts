/** To-device messages, device lists and key counts: the device's part of a response. */

import { createHash } from "node:crypto";

import type { KnownDevice } from "../../store/ingest/device.ts";
import type { DeviceWrites, ToDeviceWrite } from "../../store/ingest/row-types.ts";
import { mergeCounts } from "../../wire/key-counts.ts";
import type { V2Response } from "../../wire/v2-response.ts";
import { type ListChange, numberChanges } from "./device-lists.ts";

/** The member of a v2 response that holds the counts of one-time keys. */
export const KEY_COUNTS = "device_one_time_keys_count";

/** SHA-256 of a to-device message's bytes, hex: identifies duplicates. */
export function messageHash(body: string): string {
  return createHash("sha256").update(body).digest("hex");
}

export type DeviceInput = {
  readonly response: V2Response;
  /** The hashes of response.toDevice, in its order. */
  readonly hashes: readonly string[];
  /** Hashes of messages whose text the database refuses (N3). */
  readonly asBytes: ReadonlySet<string>;
};

/** What the plan needs to know of the account and its other devices. */
export type DeviceContext = {
  /** The account's position before the batch (D19). */
  readonly position: number;
  /** The device-list changes that this device is to be sent: see device-lists.ts. */
  readonly lists: readonly ListChange[];
  /** The poll was sent before an upload of keys was answered: its counts are from before the upload, and are ignored (T11). */
  readonly countsAreOld: boolean;
};

export function planDevice(known: KnownDevice, { response, hashes, asBytes }: DeviceInput, context: DeviceContext): DeviceWrites {
  const { position, lists, countsAreOld } = context;
  let seq = known.seq;
  const passed = new Map(known.passed.map((row) => [row.hash, row.times]));
  const stored = new Map(known.stored.map((row) => [row.hash, row.copies]));
  const dropped = new Map<string, number>();
  const toDevice: ToDeviceWrite[] = [];
  for (const [index, body] of response.toDevice.entries()) {
    const hash = hashes[index] ?? messageHash(body);
    if (take(passed, hash)) {
      dropped.set(hash, (dropped.get(hash) ?? 0) + 1);
      // That copy is in the queue as well: it accounts for this message, and not for a second one.
      take(stored, hash);
    } else if (!take(stored, hash)) {
      seq += 1;
      const bytes = asBytes.has(hash) ? Buffer.from(body).toString("base64") : null;
      toDevice.push({ seq, before_pos: position, body: bytes === null ? body : "", bytes, hash });
    }
  }
  const deviceLists = numberChanges(lists, seq);
  seq += deviceLists.length;
  const { one_time_keys, fallback_keys } = countsAreOld ? known : countsAfter(known, response);
  let counts_seq = known.counts_seq;
  if (one_time_keys !== known.one_time_keys || fallback_keys !== known.fallback_keys) {
    seq += 1;
    counts_seq = seq;
  }
  const taken = [...dropped].map(([hash, times]) => ({ hash, times }));
  return { since: response.next_batch, seq, one_time_keys, fallback_keys, counts_seq, toDevice, passed: taken, deviceLists };
}

/** In v2, absent one-time key counts are counts of 0 (T12). Absent fallback key types, and what could not be read, change nothing. */
function countsAfter(known: KnownDevice, response: V2Response): Pick<DeviceWrites, "one_time_keys" | "fallback_keys"> {
  const isUnread = response.oneTimeKeys === null && response.skipped.some(({ where }) => where === KEY_COUNTS);
  return {
    one_time_keys: isUnread ? known.one_time_keys : mergeCounts(known.one_time_keys, response.oneTimeKeys ?? "{}"),
    fallback_keys: response.fallbackKeys ?? known.fallback_keys,
  };
}

/** Takes one from the count; false if it is 0. */
function take(counts: Map<string, number>, key: string): boolean {
  const count = counts.get(key) ?? 0;
  if (count <= 0) return false;
  counts.set(key, count - 1);
  return true;
}
