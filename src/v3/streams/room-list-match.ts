/** Which rooms a room list contains (S5): filters over facts. Pure. */

import type { RoomFacts, RoomFactsRow } from "../../store/room-facts.ts";
import { factsFilter } from "../../sync/room-filters.ts";
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

/** Whether a room passes all filters. */
export function factsMatch(filters: ListFilters): (facts: RoomFacts) => boolean {
  return factsFilter({
    isDm: filters.is_dm,
    isEncrypted: filters.is_encrypted,
    roomTypes: filters.room_types,
    notRoomTypes: filters.not_room_types,
    tags: filters.tags,
    notTags: filters.not_tags,
    roomNameLike: filters.room_name_like,
  });
}
