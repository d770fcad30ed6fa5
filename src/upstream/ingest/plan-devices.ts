/** The device parts of a response: for the polled device, and for those that are also given its device lists. */

import type { AskedDevice } from "../../store/ingest/device.ts";
import type { DeviceWrites } from "../../store/ingest/row-types.ts";
import type { DeviceNo } from "../../wire/ids.ts";
import { type DeviceListChanges, ownChanges, planOtherDevice, sharedChanges } from "./device-lists.ts";
import { planDevice } from "./plan-device.ts";
import type { Job, Locked } from "./job.ts";

export type DevicePlans = {
  /** The plan of the polled device; it is in `all`, too. */
  readonly own: DeviceWrites;
  readonly all: readonly { readonly device: DeviceNo; readonly writes: DeviceWrites }[];
  /** The response's key counts were from before an upload, and are not stored (T11). */
  readonly countsAreOld: boolean;
};

/** What has to be locked and read before a response can be planned. */
export function askedDevice({ input, response, hashes }: Job): AskedDevice {
  const { account, device, overlap, rooms } = input;
  const { changed, left } = listsOf({ input, response });
  const hasLists = changed.length + left.length > 0;
  return { account, device, hashes, overlap, users: rooms ? [] : [...changed, ...left], others: rooms && hasLists };
}

export function planDevices(job: Job, { account, device, others }: Locked): DevicePlans {
  const { input } = job;
  const lists = listsOf(job);
  const changes = input.rooms ? sharedChanges(lists) : ownChanges(device, lists);
  const countsAreOld = input.keyUploads !== undefined && input.keyUploads !== device.key_uploads;
  const own = planDevice(device, job, { position: account.position, lists: changes, countsAreOld });
  const given = others.map((other) => ({ device: other.device, writes: planOtherDevice(other, changes) }));
  return { own, all: [{ device: input.device, writes: own }, ...given], countsAreOld };
}

/** The device lists that the poll brought, and those requested in addition. */
function listsOf({ input: { lists }, response: { deviceLists } }: Pick<Job, "input" | "response">): DeviceListChanges {
  if (!lists) return deviceLists;
  return { changed: [...deviceLists.changed, ...lists.changed], left: [...deviceLists.left, ...lists.left] };
}
