/** A tolerant reader of m.room.power_levels (S3): content that a strict one refuses must not cost a room its member list (B44). */

import { isIdentifier, isObject } from "./identifier.ts";
import type { UserId } from "./ids.ts";
import { roomVersionFacts } from "./room-versions.ts";

/** The level of a creator from room version 12 on: above every level that an event can name. */
export const CREATOR_LEVEL: number = Number.MAX_SAFE_INTEGER;

export type PowerLevels = {
  /** A safe integer, may be negative. */
  ofUser(userId: string): number;
  /** Users with a level of their own, each once. */
  readonly explicit: readonly (readonly [UserId, number])[];
  readonly usersDefault: number;
};

/**
 * @param content of the room's m.room.power_levels; null or undefined where the room has none
 * @param createSender sender of m.room.create: without a power-level event this user has 100; null where not known
 * @param additionalCreators `additional_creators` of m.room.create, as it stands there; counts from room version 12 on
 * @param roomVersion see roomVersionFacts
 */
export function powerLevels(
  content: unknown,
  createSender: string | null,
  additionalCreators: unknown,
  roomVersion: string | undefined,
): PowerLevels {
  const levels = new Map<UserId, number>();
  const fields = isObject(content) ? content : {};
  if (isObject(fields["users"])) {
    for (const [userId, value] of Object.entries(fields["users"])) {
      const level = readLevel(value);
      if (level !== null && isIdentifier(userId)) levels.set(userId as UserId, level);
    }
  }
  const creators = new Set(createSender === null ? [] : [createSender as UserId]);
  if (roomVersionFacts(roomVersion).creatorsOutrank) {
    for (const userId of Array.isArray(additionalCreators) ? additionalCreators : []) {
      if (isIdentifier(userId)) creators.add(userId as UserId);
    }
    for (const creator of creators) levels.set(creator, CREATOR_LEVEL);
  } else if (content === null || content === undefined) {
    for (const creator of creators) levels.set(creator, 100);
  }
  const usersDefault = readLevel(fields["users_default"]) ?? 0;
  return { ofUser: (userId) => levels.get(userId as UserId) ?? usersDefault, explicit: [...levels], usersDefault };
}

/** Integers, and as in old rooms fractions (truncated) and strings of digits; null for everything else. Below CREATOR_LEVEL. */
function readLevel(value: unknown): number | null {
  const isDigits = typeof value === "string" && /^\s*[+-]?\d+\s*$/.test(value);
  const level = isDigits ? Number(value) : value;
  if (typeof level !== "number" || Number.isNaN(level)) return null;
  // "+ 0" because a truncated -0.5, or "-0", is -0.
  return Math.trunc(Math.min(Math.max(level, -CREATOR_LEVEL), CREATOR_LEVEL - 1)) + 0;
}
