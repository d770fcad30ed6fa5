/** What a room list shows of a room, from what it showed before and what a batch changed. */

import { type Hero, type RoomFacts, soundTags } from "../../store/room-facts.ts";
import { isObject } from "../../wire/identifier.ts";
import type { UserId } from "../../wire/ids.ts";
import { isUserId } from "../../wire/matrix-id.ts";
import { computeRoomName } from "../../wire/room-name.ts";
import { roomVersionOf } from "../../wire/room-versions.ts";

type Content = Readonly<Record<string, unknown>>;

/** As many as homeservers tell. */
const MAX_HEROES = 5;
const PRESENCE: readonly unknown[] = ["join", "invite"];

export type FactsChange = {
  readonly me: UserId;
  /** Contents of state with an empty key, by type, as far as they were told now. */
  readonly contents: ReadonlyMap<string, { readonly content: Content }>;
  /** A member's event content where it is known; undefined: as before. */
  readonly member: (user: UserId) => Content | undefined;
  /** What the v2 summary said; null: nothing. */
  readonly heroes: readonly UserId[] | null;
  readonly joined: number | null;
  readonly invited: number | null;
  /** Counts of the known members, for a room whose counts nobody tells; null: not counted. */
  readonly counted: { readonly joined: number; readonly invited: number } | null;
  /** Members to name the room by where the homeserver tells no heroes; null: those of before. */
  readonly standIns: readonly UserId[] | null;
  readonly notifications: number | null;
  readonly highlights: number | null;
  /** Tags; null: as before. */
  readonly tags: Readonly<Record<string, unknown>> | null;
  readonly isDm: boolean;
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

/** A change that says nothing new. */
export function noChange(me: UserId, old: RoomFacts): FactsChange {
  return {
    me,
    contents: new Map(),
    member: () => undefined,
    heroes: null,
    joined: null,
    invited: null,
    counted: null,
    standIns: null,
    notifications: null,
    highlights: null,
    tags: null,
    isDm: old.is_dm,
  };
}

/** The new facts. Keys come in one order, so that equal facts have equal JSON. */
export function computeFacts(old: RoomFacts, change: FactsChange): RoomFacts {
  const create = change.contents.get("m.room.create")?.content;
  const roomType = create ? text(create["type"]) : old.room_type;
  const roomVersion = create ? roomVersionOf(create) : old.room_version;
  const sources = computeSources(old, change);
  const counts = computeCounts(old, change, sources.counted === true);
  const heroIds = (sources.heroes ?? change.standIns ?? old.heroes?.map((hero) => hero.user_id))?.filter(isUserId);
  const heroes = heroIds?.map((user) => computeHero(user, old.heroes, change));
  const name = computeRoomName({ name: sources.name, alias: sources.alias, heroes: heroes ?? [], ...counts, me: change.me });
  const other = change.isDm ? heroes?.find((hero) => hero.user_id !== change.me) : undefined;
  const avatar = sources.avatar ?? other?.avatar_url;
  return {
    ...(name === undefined ? {} : { name }),
    ...(avatar === undefined ? {} : { avatar }),
    ...(heroes === undefined ? {} : { heroes }),
    is_dm: change.isDm,
    is_encrypted: old.is_encrypted || change.contents.has("m.room.encryption"),
    ...(roomType === undefined ? {} : { room_type: roomType }),
    ...(roomVersion === undefined ? {} : { room_version: roomVersion }),
    ...(old.bare && !create ? { bare: true as const } : {}),
    joined_count: counts.joined,
    invited_count: counts.invited,
    notification_count: change.notifications ?? old.notification_count,
    highlight_count: change.highlights ?? old.highlight_count,
    tags: change.tags ?? old.tags,
    sources,
  };
}

function computeSources(old: RoomFacts, change: FactsChange): RoomFacts["sources"] {
  const pick = (type: string, key: string, before: string | undefined): string | undefined => {
    const told = change.contents.get(type);
    return told ? text(told.content[key]) : before;
  };
  const name = pick("m.room.name", "name", old.sources.name);
  const alias = pick("m.room.canonical_alias", "alias", old.sources.alias);
  const avatar = pick("m.room.avatar", "url", old.sources.avatar);
  const heroes = change.heroes ? heroesOf(change.heroes, change) : old.sources.heroes;
  const counted = change.joined === null && (old.sources.counted === true || (old === NO_FACTS && change.counted !== null));
  return {
    ...(name === undefined ? {} : { name }),
    ...(alias === undefined ? {} : { alias }),
    ...(avatar === undefined ? {} : { avatar }),
    ...(heroes === undefined ? {} : { heroes }),
    ...(counted ? { counted } : {}),
  };
}

/** As MSC4186 has them, whatever homeservers do: without the user, joined before invited before others. */
function heroesOf(told: readonly UserId[], { me, member }: FactsChange): UserId[] {
  // Of whom nothing is known, the homeserver says that he is there.
  const rank = (user: UserId) => PRESENCE.indexOf(member(user)?.["membership"] ?? "join");
  const last = (at: number) => (at === -1 ? PRESENCE.length : at);
  return told.filter((user) => user !== me).sort((a, b) => last(rank(a)) - last(rank(b)));
}

/** Who names a room where the homeserver names nobody: the first members by user id, joined ones before invited ones. */
export function standInsAmong(members: Iterable<readonly [UserId, string]>, me: UserId): UserId[] {
  // The state key of a member event may be anything.
  const present = [...members].filter(([user, membership]) => user !== me && PRESENCE.includes(membership) && isUserId(user));
  present.sort(([a, as], [b, bs]) => PRESENCE.indexOf(as) - PRESENCE.indexOf(bs) || (a < b ? -1 : 1));
  return present.slice(0, MAX_HEROES).map(([user]) => user);
}

function computeCounts(old: RoomFacts, change: FactsChange, counted: boolean): { joined: number; invited: number } {
  const count = counted ? change.counted : null;
  return { joined: change.joined ?? count?.joined ?? old.joined_count, invited: change.invited ?? count?.invited ?? old.invited_count };
}

function computeHero(user: UserId, before: readonly Hero[] | undefined, change: FactsChange): Hero {
  const content = change.member(user);
  if (content === undefined) return before?.find((hero) => hero.user_id === user) ?? { user_id: user };
  const displayname = text(content["displayname"]);
  const avatar = text(content["avatar_url"]);
  return { user_id: user, ...(displayname === undefined ? {} : { displayname }), ...(avatar === undefined ? {} : { avatar_url: avatar }) };
}

/** A non-empty text, else undefined. Lone surrogates in it, which strict clients refuse (N6), become U+FFFD. */
export function text(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value.toWellFormed() : undefined;
}

/** The rooms of m.direct: `{user: [room, …]}`. What is of another shape is passed over. */
export function directRooms(content: unknown): Set<string> {
  const rooms = new Set<string>();
  if (!isObject(content)) return rooms;
  for (const list of Object.values(content)) {
    if (Array.isArray(list)) for (const room of list) if (typeof room === "string") rooms.add(room);
  }
  return rooms;
}

/** The tags of m.tag, fit to be told: see soundTags. */
export function tagsOf(content: unknown): Record<string, unknown> {
  const tags = isObject(content) ? content["tags"] : undefined;
  return isObject(tags) ? soundTags(tags) : {};
}
