/**
 * Device lists belong to a user and a position, not to a device (T10): what the account's room poll brings is given to every device of the
 * account. What the poll of a single device brings is for that device alone. (It has no rooms, so Synapse leaves device lists out of it;
 * other homeservers do not.)
 */

import type { KnownDevice } from "../../store/ingest/device.ts";
import type { DeviceListWrite, DeviceWrites } from "../../store/ingest/row-types.ts";
import type { UserId } from "../../wire/ids.ts";

/** Users whose devices have changed, and users with whom no room is shared any more. */
export type DeviceListChanges = { readonly changed: readonly UserId[]; readonly left: readonly UserId[] };

/** One user's change. `shared`: every device of the account gets it. */
export type ListChange = { readonly user_id: UserId; readonly kind: "changed" | "left"; readonly shared: boolean };

/** One entry per user. A user in both lists of a response counts as changed: to fetch a device list in vain does no harm, to miss a fetch does. */
export function sharedChanges(lists: DeviceListChanges): ListChange[] {
  return changesOf(lists, true);
}

/**
 * From what a device's own polls brought, in one response or more, what that device was not given already. The room poll brings the same
 * changes, before or after: `known.shared` is what it brought lately. An older "left" must not replace a newer "changed".
 */
export function ownChanges(known: Pick<KnownDevice, "shared">, lists: DeviceListChanges): ListChange[] {
  const shared = new Map(known.shared.map(({ user_id, kind }) => [user_id, kind]));
  return changesOf(lists, false).filter(({ user_id, kind }) => {
    const given = shared.get(user_id);
    return given === undefined || (kind === "changed" && given === "left");
  });
}

/** Rows with numbers after `seq`. */
export function numberChanges(changes: readonly ListChange[], seq: number): DeviceListWrite[] {
  return changes.map((change, index) => ({ ...change, seq: seq + index + 1 }));
}

/** What is written for a device when another device's poll brought changes: nothing else of it changes. */
export function planOtherDevice(known: KnownDevice, changes: readonly ListChange[]): DeviceWrites {
  const { since, one_time_keys, fallback_keys, counts_seq } = known;
  const deviceLists = numberChanges(changes, known.seq);
  return { since, seq: known.seq + deviceLists.length, one_time_keys, fallback_keys, counts_seq, toDevice: [], passed: [], deviceLists };
}

function changesOf({ changed, left }: DeviceListChanges, shared: boolean): ListChange[] {
  const changes = new Map<UserId, ListChange>();
  for (const user_id of left) changes.set(user_id, { user_id, kind: "left", shared });
  for (const user_id of changed) changes.set(user_id, { user_id, kind: "changed", shared });
  return [...changes.values()];
}
