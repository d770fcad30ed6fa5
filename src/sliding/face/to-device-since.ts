/**
 * `since` and `next_batch` of the to_device extension. They belong to the device, whichever connection they came on, and name it. A token of
 * another server (clients keep the one of a native server), or from before our database was lost, acknowledges nothing.
 */

import type { DeviceNo } from "../../wire/ids.ts";

export function sealSince(device: DeviceNo, seq: number): string {
  return `s3d_${device}_${seq}`;
}

/** The seq that a token acknowledges for a device; 0 if it is of another device. null: we never issued it. */
export function openSince(text: string, device: DeviceNo): number | null {
  const match = /^s3d_(\d{1,15})_(\d{1,15})$/.exec(text);
  if (!match) return null;
  return Number(match[1]) === device ? Number(match[2]) : 0;
}
