/** The name of a room as its user sees it. Spec: client-server API, "Calculating the display name for a room". */

/** A member after whom a room without a name of its own is named. */
export type NamingHero = { readonly user_id: string; readonly displayname?: string | undefined };

export type RoomNameSources = {
  /** m.room.name; empty counts as missing. */
  readonly name?: string | undefined;
  /** m.room.canonical_alias; empty counts as missing. */
  readonly alias?: string | undefined;
  /** At most 5 are named, the rest are among the "others". Without the user. */
  readonly heroes: readonly NamingHero[];
  /** Members joined and invited, including the user. */
  readonly joined: number;
  readonly invited: number;
  /** The user who sees the name. */
  readonly me: string;
};

const MAX_NAMED = 5;

/** The computed name; undefined if there is nothing to name the room by: an empty room without heroes, or members that the homeserver never sent. */
export function computeRoomName(sources: RoomNameSources): string | undefined {
  if (sources.name) return sources.name;
  if (sources.alias) return sources.alias;
  const heroes = sources.heroes.filter((hero) => hero.user_id !== sources.me).slice(0, MAX_NAMED);
  if (heroes.length === 0) return undefined;
  const names = disambiguate(heroes);
  const present = sources.joined + sources.invited;
  if (present <= 1) return `Empty room (was ${joinNames(names)})`;
  const others = present - 1 - heroes.length;
  if (others <= 0) return joinNames(names);
  return joinNames([...names, others === 1 ? "1 other" : `${others} others`]);
}

/** Display names, or user ids of heroes without one; heroes with the same display name are distinguished by their user ids. */
function disambiguate(heroes: readonly NamingHero[]): string[] {
  const times = new Map<string, number>();
  for (const hero of heroes) times.set(label(hero), (times.get(label(hero)) ?? 0) + 1);
  return heroes.map((hero) => {
    const shared = (times.get(label(hero)) ?? 0) > 1;
    return shared && hero.displayname ? `${hero.displayname} (${hero.user_id})` : label(hero);
  });
}

function label(hero: NamingHero): string {
  return hero.displayname || hero.user_id;
}

/** "A", "A and B", "A, B, and C". */
function joinNames(names: readonly string[]): string {
  const last = names.at(-1) ?? "";
  if (names.length <= 1) return last;
  if (names.length === 2) return `${names[0]} and ${last}`;
  return `${names.slice(0, -1).join(", ")}, and ${last}`;
}
