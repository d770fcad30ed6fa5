/** A list's filters (MSC4186, "Filters"), compiled once and applied to every room. */

import type { AccountRoom } from "../store/account-rooms.ts";
import { factsFilter } from "../sync/room-filters.ts";
import type { RoomId } from "../wire/ids.ts";
import type { SlidingFilters } from "./request.ts";

export type RoomFilter = (room: AccountRoom) => boolean;

/** @param children of the spaces that the filters name; null: they name none */
export function roomFilter(filters: SlidingFilters, children: ReadonlyMap<RoomId, unknown> | null): RoomFilter {
  const { isInvite } = filters;
  const passes = factsFilter(filters);
  return ({ roomId, membership, facts }) => {
    if (isInvite !== undefined && (membership === "invite") !== isInvite) return false;
    return (!children || children.has(roomId)) && passes(facts);
  };
}
