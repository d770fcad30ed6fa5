/** Updates a device's one-time and fallback key counts after its client has uploaded keys (T11). */

import type { DeviceNo } from "../wire/ids.ts";
import { mergeCounts, type UploadedKeys } from "../wire/key-counts.ts";
import { type Sql, writeTx } from "./db.ts";

/** Stores them, and marks polls that were sent before as older than the upload. Does nothing for a device that is gone. */
export function noteKeyUpload(sql: Sql, device: DeviceNo, { counts, fallbackTypes }: UploadedKeys): Promise<void> {
  return writeTx(sql, async (tx) => {
    const [known] = await tx<{ one_time_keys: string; fallback_keys: string | null }[]>`
      select one_time_keys, fallback_keys from devices where device = ${device} for no key update`;
    if (!known) return;
    const oneTimeKeys = mergeCounts(known.one_time_keys, JSON.stringify(counts));
    const fallbackKeys = mergeTypes(known.fallback_keys, fallbackTypes);
    const changed = oneTimeKeys !== known.one_time_keys || fallbackKeys !== known.fallback_keys;
    await tx`
      update devices set key_uploads = key_uploads + 1, one_time_keys = ${oneTimeKeys}, fallback_keys = ${fallbackKeys},
        seq = seq + ${changed ? 1 : 0}, counts_seq = case when ${changed} then seq + 1 else counts_seq end
      where device = ${device}`;
  });
}

/** The list of unused types including `added`; null: still not reported. */
function mergeTypes(known: string | null, added: readonly string[]): string | null {
  if (added.length === 0) return known;
  const types: unknown = JSON.parse(known ?? "[]");
  const unused = Array.isArray(types) ? (types as unknown[]) : [];
  const missing = added.filter((type) => !unused.includes(type));
  return missing.length === 0 ? known : JSON.stringify([...unused, ...missing]);
}
