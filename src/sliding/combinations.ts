/** The configs of rooms that are in several lists. Each combination is merged once and shared by all rooms that have it. */

import { requestBounds } from "../wire/request-bounds.ts";
import { combine, matcherOf, type RequiredState } from "./required-state.ts";

/** The superset of a set of configs that apply to a room. */
export type Combinations = (parts: ReadonlySet<RequiredState>) => RequiredState;

/**
 * If there are more combinations than the bounds allow, all rooms with several configs share the superset of everything asked for: it is more than
 * each asked for, but a single config.
 * @param all the set of configs of each room
 */
export function combinationsOf(all: Iterable<ReadonlySet<RequiredState>>): Combinations {
  const ids = new Map<RequiredState, number>();
  const keyOf = (parts: ReadonlySet<RequiredState>): string => {
    const own: number[] = [];
    for (const part of parts) {
      let id = ids.get(part);
      if (id === undefined) ids.set(part, (id = ids.size));
      own.push(id);
    }
    return own.sort((a, b) => a - b).join(" ");
  };
  const different = new Map<string, ReadonlySet<RequiredState>>();
  for (const parts of all) if (parts.size > 1) different.set(keyOf(parts), parts);
  const superset = isTooMuch([...different.values()]) ? combine([...new Set([...different.values()].flatMap((parts) => [...parts]))]) : null;
  const combined = new Map<string, RequiredState>();
  return (parts) => {
    const [only] = parts;
    if (only && parts.size === 1) return only;
    if (superset) return superset;
    const key = keyOf(parts);
    let state = combined.get(key);
    if (!state) combined.set(key, (state = combine([...parts])));
    return state;
  };
}

function isTooMuch(different: readonly ReadonlySet<RequiredState>[]): boolean {
  const { combinations, combinedCharacters } = requestBounds();
  if (different.length > combinations) return true;
  let characters = 0;
  for (const parts of different) for (const part of parts) characters += matcherOf(part).key.length;
  return characters > combinedCharacters;
}
