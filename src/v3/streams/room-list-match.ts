/** Which rooms a room list contains (S5): filters over facts. Pure. */

import type { RoomFacts, RoomFactsRow } from "../../store/room-facts.ts";
import { hasTag, lowerName, setOf } from "../../sync/room-filters.ts";
import type { ParamsOf } from "../params.ts";
import type { SpaceChildren } from "../../sync/space-children.ts";

export type ListFilters = NonNullable<ParamsOf<"room_list">["filters"]>;

/** Whether a list contains a room that the user is in. */
export type ListMatch = (row: RoomFactsRow) => boolean;

/** A list's filters, compiled once. `children`: those of the list's spaces. */
export function listMatch(filters: ListFilters, children: SpaceChildren | undefined): ListMatch {
  const passes = factsMatch(filters);
  return ({ room_id, facts }) => passes(facts) && (!children || children.has(room_id));
}

/** Whether a room passes all filters; `not_` ones win. */
export function factsMatch(filters: ListFilters): (facts: RoomFacts) => boolean {
  const { is_dm, is_encrypted } = filters;
  const [tags, notTags] = [setOf(filters.tags), setOf(filters.not_tags)];
  const [types, notTypes] = [setOf(filters.room_types), setOf(filters.not_room_types)];
  const name = filters.room_name_like?.toLowerCase();
  return (facts) => {
    if (is_dm !== undefined && facts.is_dm !== is_dm) return false;
    if (is_encrypted !== undefined && facts.is_encrypted !== is_encrypted) return false;
    if (notTags && hasTag(facts, notTags)) return false;
    if (tags && !hasTag(facts, tags)) return false;
    const type = facts.room_type ?? null;
    if (notTypes?.has(type)) return false;
    if (types && !types.has(type)) return false;
    return name === undefined || lowerName(facts).includes(name);
  };
}
