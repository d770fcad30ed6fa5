/** Filters of lists over what is known of a room: those that both APIs have. */

import type { RoomFacts } from "../store/room-facts.ts";

/** Joined by "and"; `not` ones win. */
export type FactsFilters = {
  readonly isDm?: boolean | undefined;
  readonly isEncrypted?: boolean | undefined;
  /** null: rooms without a type. */
  readonly roomTypes?: readonly (string | null)[] | undefined;
  readonly notRoomTypes?: readonly (string | null)[] | undefined;
  readonly tags?: readonly string[] | undefined;
  readonly notTags?: readonly string[] | undefined;
  /** Case-insensitive, in the computed name. */
  readonly roomNameLike?: string | undefined;
};

/** The filters, compiled once. What is unknown (the type of an invite's room, for example) matches no explicit value. */
export function factsFilter({ isDm, isEncrypted, ...filters }: FactsFilters): (facts: RoomFacts) => boolean {
  const [types, notTypes] = [setOf(filters.roomTypes), setOf(filters.notRoomTypes)];
  const [tags, notTags] = [setOf(filters.tags), setOf(filters.notTags)];
  const name = filters.roomNameLike?.toLowerCase();
  return (facts) => {
    const unknown = facts.bare === true;
    if (isDm !== undefined && facts.is_dm !== isDm) return false;
    if (isEncrypted !== undefined && (unknown || facts.is_encrypted !== isEncrypted)) return false;
    const type = facts.room_type ?? null;
    if (notTypes && (unknown || notTypes.has(type))) return false;
    if (types && (unknown || !types.has(type))) return false;
    if (notTags && hasTag(facts, notTags)) return false;
    if (tags && !hasTag(facts, tags)) return false;
    return name === undefined || lowerName(facts).includes(name);
  };
}

/** Undefined: the filter is absent. */
function setOf<Value>(values: readonly Value[] | undefined): ReadonlySet<Value> | undefined {
  return values && new Set(values);
}

/** Iterates over the smaller of the room's tags and the tags asked for. */
function hasTag({ tags }: RoomFacts, asked: ReadonlySet<string>): boolean {
  const own = Object.keys(tags);
  if (own.length <= asked.size) return own.some((tag) => asked.has(tag));
  for (const tag of asked) if (Object.hasOwn(tags, tag)) return true;
  return false;
}

const lowerNames = new WeakMap<RoomFacts, string>();

/** A room's name in lower case, computed once per facts object. */
function lowerName(facts: RoomFacts): string {
  let name = lowerNames.get(facts);
  if (name === undefined) lowerNames.set(facts, (name = (facts.name ?? "").toLowerCase()));
  return name;
}
