/**
 * `since` and `next_batch` of the to_device and sticky_events extensions. They belong to the device, whichever connection they came on, and name
 * it. A token of another server (clients keep the one of a native server), or from before our database was lost, acknowledges nothing.
 */

import type { DeviceNo } from "../../wire/ids.ts";

/** Of to_device. */
export function sealSince(device: DeviceNo, seq: number): string {
  return `s3d_${device}_${seq}`;
}

/** The seq that a token acknowledges for a device; 0 if it is of another device. null: we never issued it. */
export function openSince(text: string, device: DeviceNo): number | null {
  return opened(/^s3d_(\d{1,15})_(\d{1,15})$/.exec(text), device);
}

/** Of sticky_events: an ordinal of the device's account. */
export function sealStickySince(device: DeviceNo, ord: number): string {
  return `s3s_${device}_${ord}`;
}

/** The same as openSince. */
export function openStickySince(text: string, device: DeviceNo): number | null {
  return opened(/^s3s_(\d{1,15})_(\d{1,15})$/.exec(text), device);
}

function opened(match: RegExpExecArray | null, device: DeviceNo): number | null {
  if (!match) return null;
  return Number(match[1]) === device ? Number(match[2]) : 0;
}
