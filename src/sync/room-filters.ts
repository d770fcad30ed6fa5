/** Parts of list filters that both APIs use. */

import type { RoomFacts } from "../store/room-facts.ts";

/** Undefined: the filter is absent. */
export function setOf<Value>(values: readonly Value[] | undefined): ReadonlySet<Value> | undefined {
  return values && new Set(values);
}

/** Iterates over the smaller of the room's tags and the tags asked for. */
export function hasTag({ tags }: RoomFacts, asked: ReadonlySet<string>): boolean {
  const own = Object.keys(tags);
  if (own.length <= asked.size) return own.some((tag) => asked.has(tag));
  for (const tag of asked) if (Object.hasOwn(tags, tag)) return true;
  return false;
}

const lowerNames = new WeakMap<RoomFacts, string>();

/** A room's name in lower case, computed once per facts object. */
export function lowerName(facts: RoomFacts): string {
  let name = lowerNames.get(facts);
  if (name === undefined) lowerNames.set(facts, (name = (facts.name ?? "").toLowerCase()));
  return name;
}
