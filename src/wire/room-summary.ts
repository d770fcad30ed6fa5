/** The summary of a room (Matrix 1.15, MSC3266), from its state. */

import { isObject } from "./identifier.ts";
import type { RoomId } from "./ids.ts";
import { isRoomId } from "./matrix-id.ts";
import { roomVersionOf } from "./room-versions.ts";

/** The state events, with an empty key, that a summary is made of. */
export const SUMMARY_TYPES = [
  "m.room.create",
  "m.room.name",
  "m.room.topic",
  "m.room.avatar",
  "m.room.canonical_alias",
  "m.room.join_rules",
  "m.room.history_visibility",
  "m.room.guest_access",
  "m.room.encryption",
] as const;

export type RoomSummaryParts = {
  readonly roomId: RoomId;
  /** The user's own. */
  readonly membership: "join" | "invite" | "knock";
  readonly joined: number;
  /** Contents of SUMMARY_TYPES, as far as the room has them, or its stripped state. */
  readonly contents: ReadonlyMap<string, Readonly<Record<string, unknown>>>;
};

/** The answer's body. Texts are well-formed, and values of another type than the specification's are left out (N6). */
export function roomSummary({ roomId, membership, joined, contents }: RoomSummaryParts): Record<string, unknown> {
  const value = (type: (typeof SUMMARY_TYPES)[number], key: string): unknown => contents.get(type)?.[key];
  const create = contents.get("m.room.create");
  const joinRule = text(value("m.room.join_rules", "join_rule"));
  const allowed = allowedRooms(value("m.room.join_rules", "allow"));
  const optional = {
    name: text(value("m.room.name", "name")),
    topic: text(value("m.room.topic", "topic")),
    avatar_url: text(value("m.room.avatar", "url")),
    canonical_alias: text(value("m.room.canonical_alias", "alias")),
    room_type: text(create?.["type"]),
    room_version: create && roomVersionOf(create),
    encryption: text(value("m.room.encryption", "algorithm")),
    ...(joinRule?.endsWith("restricted") === true && allowed.length > 0 && { allowed_room_ids: allowed }),
  };
  return {
    room_id: roomId,
    membership,
    num_joined_members: joined,
    world_readable: value("m.room.history_visibility", "history_visibility") === "world_readable",
    guest_can_join: value("m.room.guest_access", "guest_access") === "can_join",
    // Clients take a missing rule for "public". The rules of authorisation take it for "invite".
    join_rule: joinRule ?? "invite",
    ...Object.fromEntries(Object.entries(optional).filter(([, each]) => each !== undefined)),
  };
}

/** Rooms whose members may join, of `allow` of a restricted room. */
function allowedRooms(allow: unknown): RoomId[] {
  if (!Array.isArray(allow)) return [];
  return allow.flatMap((entry: unknown) => {
    return isObject(entry) && entry["type"] === "m.room_membership" && isRoomId(entry["room_id"]) ? [entry["room_id"]] : [];
  });
}

function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value.toWellFormed() : undefined;
}
