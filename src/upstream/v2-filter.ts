/** What our own v2 polls ask for (B51). The filter is JSON text, passed inline, so that nothing is stored at the homeserver. */

import type { SyncSize } from "./sync-size.ts";

export type V2FilterOptions = {
  /** With rooms; without, for further devices of an account: only to-device messages, device lists and key counts. */
  readonly rooms: boolean;
  /** A session of the account asks for presence. */
  readonly presence: boolean;
  /** No `since` yet: smaller timelines, because every room comes. */
  readonly first: boolean;
  /** See sync-size.ts. Default full. */
  readonly size?: SyncSize;
  /** Fields of profiles (MSC4429). Default: none. */
  readonly profiles?: readonly string[];
};

/** Events of a room in a first sync. */
export const FIRST_TIMELINE = 20;
const NOTHING = { not_types: ["*"] };
/**
 * The members that a timeline needs, also those that the device was sent before (T13): homeservers remember that by device, so members that
 * another reader of the device was sent would never arrive here.
 */
const LAZY_MEMBERS = { lazy_load_members: true, include_redundant_members: true } as const;

/**
 * Query parameters that ask for the state after the timelines (MSC4222, T21), under either name: homeservers ignore those that they do not know.
 * Polls without `since` do not have them: the state before a timeline comes at no other time, and what changes from then on is in later answers.
 */
export const STATE_AFTER = { use_state_after: "true", "org.matrix.msc4222.use_state_after": "true" } as const;

/** Asks for the presence of others alone. */
export const PRESENCE_FILTER = JSON.stringify({ room: { rooms: [] }, account_data: NOTHING });

export function v2Filter(options: V2FilterOptions): string {
  if (!options.rooms) return JSON.stringify({ room: { rooms: [] }, account_data: NOTHING, presence: NOTHING });
  const others = { ...(!options.presence && { presence: NOTHING }), ...profileFields(options.profiles ?? []) };
  // Invites and left rooms come nevertheless.
  if (options.size === "bare") {
    return JSON.stringify({ room: { timeline: { limit: 1, ...NOTHING }, state: NOTHING, ephemeral: NOTHING, account_data: NOTHING }, ...others });
  }
  const limit = options.size === "short" ? 1 : options.first ? FIRST_TIMELINE : 50;
  return JSON.stringify({ room: { timeline: { limit, ...LAZY_MEMBERS }, state: LAZY_MEMBERS }, ...others });
}

/** The present values of those fields for all users who share a room, and nothing else. */
export function profilesFilter(fields: readonly string[]): string {
  return JSON.stringify({ room: { rooms: [] }, account_data: NOTHING, presence: NOTHING, ...profileFields(fields) });
}

function profileFields(ids: readonly string[]) {
  return ids.length > 0 ? { "org.matrix.msc4429.profile_fields": { ids } } : {};
}
