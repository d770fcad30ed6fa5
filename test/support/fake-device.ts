/** What a fake homeserver holds of a device. */

import type { Json } from "./events.ts";

export type Device = {
  readonly userId: string;
  readonly deviceId: string | null;
  /** Texts of responses with the next_batch of each, and what each says of the device's keys; null: nothing. */
  readonly log: { readonly text: string; readonly nextBatch: string; readonly keys: Json | null }[];
  served: number;
  /** Which entry a `since` that is none of ours got. */
  readonly foreign: Map<string, number>;
  readonly waiting: Set<() => void>;
  polls: number;
  peakPolls: number;
  hold: boolean;
  /** What answers that say nothing else say of its keys, as those of real homeservers do: what `setKeys` was given, else what was said last. */
  keys: Json | null;
  saidKeys: Json;
  /** See setPresence. */
  presence: Json[];
  /** See setProfiles. */
  profiles: Json;
};

export function newDevice(userId: string, deviceId: string | null): Device {
  return {
    userId,
    deviceId,
    log: [],
    served: 0,
    foreign: new Map(),
    waiting: new Set(),
    polls: 0,
    peakPolls: 0,
    hold: false,
    keys: null,
    saidKeys: {},
    presence: [],
    profiles: {},
  };
}

/** What a v2 response says of the device's keys; null: nothing. */
export function keysOf(response: Json): Json | null {
  const keys = Object.entries(response).filter(([name]) => name === "device_one_time_keys_count" || name === "device_unused_fallback_key_types");
  return keys.length > 0 ? Object.fromEntries(keys) : null;
}
