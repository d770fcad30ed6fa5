/** What a room list shows, filters or sorts by: one temporal row a change, so that every kept position can be told exactly. */

import type { RoomId, UserId } from "../wire/ids.ts";

/** The user's own membership in a room. */
export type Membership = "join" | "invite" | "knock" | "leave" | "ban";

/** A hero of the room's computed name (spec: "Calculating the display name for a room"). */
export type Hero = { readonly user_id: UserId; readonly displayname?: string; readonly avatar_url?: string };

/**
 * The `facts` JSON of room_facts. Keys are absent where the room has no such thing.
 * `sources` holds what the computed ones are computed from, so that ingest need not read state again.
 */
export type RoomFacts = {
  /** The computed display name (m.room.name, else canonical alias, else heroes). Absent: an empty room without heroes. */
  readonly name?: string;
  /** mxc URL: m.room.avatar, else in a DM the other hero's. */
  readonly avatar?: string;
  readonly heroes?: readonly Hero[];
  readonly is_dm: boolean;
  readonly is_encrypted: boolean;
  /** `type` of m.room.create, e.g. `m.space`. */
  readonly room_type?: string;
  readonly room_version?: string;
  /** Of an invite or knock whose stripped state does not hold the create event: type and encryption are not known. */
  readonly bare?: true;
  readonly joined_count: number;
  readonly invited_count: number;
  readonly notification_count: number;
  readonly highlight_count: number;
  /** Tag → content, of m.tag. */
  readonly tags: Readonly<Record<string, unknown>>;
  readonly sources: {
    readonly name?: string;
    readonly alias?: string;
    readonly avatar?: string;
    /** m.heroes of the v2 summary. */
    readonly heroes?: readonly UserId[];
    /** The homeserver never told the counts: they are counted from the members that are known. */
    readonly counted?: true;
  };
};

export type RoomFactsRow = { readonly room_id: RoomId; readonly membership: Membership; readonly facts: RoomFacts };
