/** Differences between room versions that are visible outside a homeserver. Spec: "Room Versions". */

import { isObject } from "./identifier.ts";

export type RoomVersionFacts = {
  /** 1 to 5: m.room.aliases keeps its aliases when it is redacted. */
  readonly keepsAliases: boolean;
  /** From 8 on: m.room.join_rules keeps `allow`. */
  readonly keepsAllow: boolean;
  /** From 9 on: m.room.member keeps `join_authorised_via_users_server`. */
  readonly keepsAuthorisingServer: boolean;
  /**
   * From 11 on: m.room.create keeps all its content, m.room.power_levels `invite`, m.room.redaction `content.redacts`, m.room.member
   * `third_party_invite.signed`, and the top level loses `origin`, `membership` and `prev_state`.
   */
  readonly cleanRedactions: boolean;
  /** From 12 on: the room's creators rank above all power levels. */
  readonly creatorsOutrank: boolean;
};

const NEWEST = 12;

/** The facts of a version; for an unknown one, and for `undefined`, those of the newest. */
export function roomVersionFacts(version: string | undefined): RoomVersionFacts {
  const number = version !== undefined && /^([1-9]|1[0-2])$/.test(version) ? Number(version) : NEWEST;
  return {
    keepsAliases: number <= 5,
    keepsAllow: number >= 8,
    keepsAuthorisingServer: number >= 9,
    cleanRedactions: number >= 11,
    creatorsOutrank: number >= 12,
  };
}

/** The version named in the content of an m.room.create: "1" if it names none; undefined if it is not a string. */
export function roomVersionOf(createContent: unknown): string | undefined {
  const version = isObject(createContent) ? (createContent["room_version"] ?? "1") : undefined;
  return typeof version === "string" ? version : undefined;
}
