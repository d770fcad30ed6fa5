/**
 * How long messages are shown (T4): `m.room.retention` in a room, and what the homeserver says of it (MSC1763). Only messages expire, state never
 * does. A message expires by its origin_server_ts.
 */

import { isObject } from "./identifier.ts";
import type { RoomId } from "./ids.ts";

/** The homeserver's policy, as it is stored: lifetimes in ms. Absent members: there is no such policy or limit. */
export type MessageRetention = {
  /** For rooms without a lifetime of their own. */
  readonly fallback?: number;
  /** Overrides what those rooms say. */
  readonly rooms?: Readonly<Record<RoomId, number>>;
  /** The limits of what a room may say. */
  readonly least?: number;
  readonly most?: number;
};

/** More rooms than this with a policy of the homeserver's own are left out: the policy is part of every request. */
const MOST_ROOMS = 1000;

/** The `max_lifetime` of a policy or an event's content, ms; undefined: it has none that counts. As in Synapse, a malformed `min_lifetime` voids it. */
export function maxLifetime(policy: unknown): number | undefined {
  if (!isObject(policy)) return undefined;
  const { max_lifetime: most, min_lifetime: least } = policy;
  const isSound = least === undefined || least === null || Number.isSafeInteger(least);
  return isSound && Number.isSafeInteger(most) ? Math.max(0, Number(most)) : undefined;
}

/** Cuts the answer of `GET …/org.matrix.msc1763/retention/configuration`. Malformed members are left out. */
export function cutRetention(text: string): MessageRetention {
  const answer: unknown = JSON.parse(text);
  const { policies, limits } = isObject(answer) ? answer : {};
  const named = isObject(policies) ? policies : {};
  const limit = isObject(limits) && isObject(limits["max_lifetime"]) ? limits["max_lifetime"] : {};
  const fallback = maxLifetime(named["*"]);
  const [least, most] = [maxLifetime({ max_lifetime: limit["min"] }), maxLifetime({ max_lifetime: limit["max"] })];
  const rooms = Object.entries(named).flatMap(([room, policy]) => {
    const lifetime = room === "*" ? undefined : maxLifetime(policy);
    return lifetime === undefined ? [] : [[room, lifetime] as const];
  });
  return {
    ...(fallback !== undefined && { fallback }),
    ...(rooms.length > 0 && { rooms: Object.fromEntries(rooms.slice(0, MOST_ROOMS)) }),
    ...(least !== undefined && { least }),
    ...(most !== undefined && { most }),
  };
}

/**
 * How long messages of a room are shown, ms; null: for ever.
 * @param retention null: the homeserver does not apply retention, and neither do we
 * @param own the room's max_lifetime
 */
export function lifetimeOf(retention: MessageRetention | null, roomId: RoomId, own: number | undefined): number | null {
  if (!retention) return null;
  const { rooms, fallback, least = 0, most = Infinity } = retention;
  // Last, so that it wins over contradicting limits, as in Synapse.
  const bounded = own === undefined ? undefined : Math.min(Math.max(own, least), most);
  return rooms?.[roomId] ?? bounded ?? fallback ?? null;
}
