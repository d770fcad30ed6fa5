/** The facts that a room list shows of a room, from the previous ones and what a batch changed. */

import { type Hero, NO_FACTS, type RoomFacts, soundTags } from "../../store/room-facts.ts";
import { isObject } from "../../wire/identifier.ts";
import type { UserId } from "../../wire/ids.ts";
import { isUserId } from "../../wire/matrix-id.ts";
import { maxLifetime } from "../../wire/message-retention.ts";
import { computeRoomName } from "../../wire/room-name.ts";
import { roomVersionOf } from "../../wire/room-versions.ts";

type Content = Readonly<Record<string, unknown>>;

/** As many as homeservers send. */
const MAX_HEROES = 5;
const PRESENCE: readonly unknown[] = ["join", "invite"];

export type FactsChange = {
  readonly me: UserId;
  /** Contents of state with an empty key, by type, if the batch has them. */
  readonly contents: ReadonlyMap<string, { readonly content: Content }>;
  /** A member's event content if it is known; undefined: unchanged. */
  readonly member: (user: UserId) => Content | undefined;
  /** The v2 summary; null: there was none. */
  readonly heroes: readonly UserId[] | null;
  readonly joined: number | null;
  readonly invited: number | null;
  /** Counts of the known members, for a room without counts from the homeserver; null: not counted. */
  readonly counted: { readonly joined: number; readonly invited: number } | null;
  /** Members to name the room by if the homeserver names no heroes; null: the previous ones. */
  readonly standIns: readonly UserId[] | null;
  readonly notifications: number | null;
  readonly highlights: number | null;
  /** Tags; null: the previous ones. */
  readonly tags: Readonly<Record<string, unknown>> | null;
  readonly isDm: boolean;
};

/** A change that changes nothing. */
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

/** The new facts. Keys come in a fixed order, so that equal facts have equal JSON. */
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
    const changed = change.contents.get(type);
    return changed ? text(changed.content[key]) : before;
  };
  const name = pick("m.room.name", "name", old.sources.name);
  const alias = pick("m.room.canonical_alias", "alias", old.sources.alias);
  const avatar = pick("m.room.avatar", "url", old.sources.avatar);
  // Of a room with a name, homeservers name no heroes: those from before it got one may have left by the time it goes.
  const isNamed = name !== undefined || alias !== undefined;
  const heroes = change.heroes ? heroesOf(change.heroes, change) : isNamed ? undefined : old.sources.heroes;
  const retention = change.contents.get("m.room.retention");
  const lifetime = retention ? maxLifetime(retention.content) : old.sources.lifetime;
  const counted = change.joined === null && (old.sources.counted === true || (old === NO_FACTS && change.counted !== null));
  return {
    ...(name === undefined ? {} : { name }),
    ...(alias === undefined ? {} : { alias }),
    ...(avatar === undefined ? {} : { avatar }),
    ...(heroes === undefined ? {} : { heroes }),
    ...(lifetime === undefined ? {} : { lifetime }),
    ...(counted ? { counted } : {}),
  };
}

/** Heroes as MSC4186 defines them, whatever homeservers do: without the user, joined before invited before others. */
function heroesOf(named: readonly UserId[], { me, member }: FactsChange): UserId[] {
  // If the membership is unknown, the hero counts as joined, because the homeserver names the hero.
  const rank = (user: UserId) => PRESENCE.indexOf(member(user)?.["membership"] ?? "join");
  const last = (at: number) => (at === -1 ? PRESENCE.length : at);
  return named.filter((user) => user !== me).sort((a, b) => last(rank(a)) - last(rank(b)));
}

/**
 * The members that name a room if the homeserver names no heroes: the first ones by user id, joined before invited. Those who have left where
 * nobody else is there.
 */
export function standInsAmong(members: Iterable<readonly [UserId, string]>, me: UserId): UserId[] {
  // The state key of a member event may be anything.
  const others = [...members].filter(([user]) => user !== me && isUserId(user)).sort(([a], [b]) => (a < b ? -1 : 1));
  const among = (...memberships: string[]) => others.filter(([, membership]) => memberships.includes(membership)).map(([user]) => user);
  const present = [...among("join"), ...among("invite")];
  return (present.length > 0 ? present : among("leave", "ban")).slice(0, MAX_HEROES);
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

/** The rooms of m.direct: `{user: [room, …]}`. Values of another shape are skipped. */
export function directRooms(content: unknown): Set<string> {
  const rooms = new Set<string>();
  if (!isObject(content)) return rooms;
  for (const list of Object.values(content)) {
    if (Array.isArray(list)) for (const room of list) if (typeof room === "string") rooms.add(room);
  }
  return rooms;
}

/** The tags of m.tag, in a form that can be sent: see soundTags. */
export function tagsOf(content: unknown): Record<string, unknown> {
  const tags = isObject(content) ? content["tags"] : undefined;
  return isObject(tags) ? soundTags(tags) : {};
}
