/** Which rooms a room list holds (S5): filters over facts. Pure. */

import type { RoomFacts, RoomFactsRow } from "../store/room-facts.ts";
import type { SpaceChildren } from "./space-children.ts";

export type ListFilters = {
  readonly is_dm?: boolean;
  readonly is_encrypted?: boolean;
  readonly tags?: readonly string[];
  readonly not_tags?: readonly string[];
  /** null: rooms without a type. */
  readonly room_types?: readonly (string | null)[];
  readonly not_room_types?: readonly (string | null)[];
  readonly room_name_like?: string;
};

/** Whether a list holds a room that the user is in. `children`: those of the spaces that the list is of. */
export function isListed({ room_id, facts }: RoomFactsRow, filters: ListFilters, children: SpaceChildren | undefined): boolean {
  return matchesFilters(facts, filters) && (!children || children.has(room_id));
}

/** Whether a room passes all filters; `not_` ones win. */
export function matchesFilters(facts: RoomFacts, filters: ListFilters): boolean {
  if (filters.is_dm !== undefined && facts.is_dm !== filters.is_dm) return false;
  if (filters.is_encrypted !== undefined && facts.is_encrypted !== filters.is_encrypted) return false;
  const hasTag = (tag: string) => Object.hasOwn(facts.tags, tag);
  if (filters.not_tags?.some(hasTag)) return false;
  if (filters.tags && !filters.tags.some(hasTag)) return false;
  const type = facts.room_type ?? null;
  if (filters.not_room_types?.includes(type)) return false;
  if (filters.room_types && !filters.room_types.includes(type)) return false;
  if (filters.room_name_like !== undefined) {
    return (facts.name ?? "").toLowerCase().includes(filters.room_name_like.toLowerCase());
  }
  return true;
}
