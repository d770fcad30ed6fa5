/** What a room list shows, filters or sorts by: one temporal row per change, so that it can be sent exactly for every retained position. */

import { isObject } from "../wire/identifier.ts";
import type { RoomId, UserId } from "../wire/ids.ts";
import { isUserId } from "../wire/matrix-id.ts";
import { soundJson } from "../wire/sound-json.ts";

/** The user's own membership in a room. */
export type Membership = "join" | "invite" | "knock" | "leave" | "ban";

/** A hero of the room's computed name (spec: "Calculating the display name for a room"). */
export type Hero = { readonly user_id: UserId; readonly displayname?: string; readonly avatar_url?: string };

/**
 * The `facts` JSON of room_facts. Keys are absent where the room has no such thing. `sources` holds the inputs of the computed facts, so
 * that ingest need not read state again.
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
  /** For an invite or knock whose stripped state lacks the create event: type and encryption are unknown. */
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
    /** `max_lifetime` of m.room.retention, ms (T4). */
    readonly lifetime?: number;
    /** The homeserver never sent the counts: they are counted from the known members. */
    readonly counted?: true;
  };
};

/** Facts of a room of which nothing is known. */
export const NO_FACTS: RoomFacts = {
  is_dm: false,
  is_encrypted: false,
  joined_count: 0,
  invited_count: 0,
  notification_count: 0,
  highlight_count: 0,
  tags: {},
  sources: {},
};

/** Whether nothing is known of the hero but the id: its member event may be missing (T14). */
export function isUnknownHero({ displayname, avatar_url }: Hero): boolean {
  return displayname === undefined && avatar_url === undefined;
}

export type RoomFactsRow = { readonly room_id: RoomId; readonly membership: Membership; readonly facts: RoomFacts };

/** How deep a tag's content may nest to be sent: the spec's is an object of scalars. */
const TAG_LEVELS = 16;
/** The same for all other facts. */
const OTHER_LEVELS = 3;

/** Tags with well-formed text in them; a content that nests deeper than TAG_LEVELS is sent as `{}` (N5). */
export function soundTags(tags: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(tags).map(([tag, content]) => [tag.toWellFormed(), soundJson(content, TAG_LEVELS) ?? {}]));
}

/** Stored facts in a form that can be sent to strict clients (N6), whichever version stored them. */
export function parseFacts(text: string): RoomFacts {
  const facts = JSON.parse(text) as RoomFacts;
  // JSON.stringify writes a lone surrogate like this.
  const isSuspect = text.includes("\\ud");
  const hasUsers = facts.heroes?.every((hero) => isUserId(hero.user_id)) ?? true;
  if (!isSuspect && hasUsers && hasPlainTags(facts)) return facts;
  const sound = isSuspect ? { ...facts, ...(soundJson({ ...facts, tags: {} }, OTHER_LEVELS) as RoomFacts) } : facts;
  const heroes = sound.heroes?.filter((hero) => isUserId(hero.user_id));
  // The order of the keys does not change: equal facts have equal JSON.
  return { ...sound, ...(heroes && { heroes }), tags: soundTags(facts.tags) };
}

/** Whether tags have the form of the spec: objects of scalars. */
function hasPlainTags({ tags }: RoomFacts): boolean {
  return Object.values(tags).every((content) => isObject(content) && Object.values(content).every((value) => typeof value !== "object"));
}
