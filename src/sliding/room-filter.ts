/** A list's filters (MSC4186, "Filters"), compiled once and applied to every room. */

import type { AccountRoom } from "../store/account-rooms.ts";
import { hasTag, lowerName, setOf } from "../sync/room-filters.ts";
import type { RoomId } from "../wire/ids.ts";
import type { SlidingFilters } from "./request.ts";

export type RoomFilter = (room: AccountRoom) => boolean;

/**
 * What is unknown (the type of an invite's room, for example) matches no explicit value.
 * @param children of the spaces that the filters name; null: they name none
 */
export function roomFilter(filters: SlidingFilters, children: ReadonlyMap<RoomId, unknown> | null): RoomFilter {
  const { isDm, isInvite, isEncrypted } = filters;
  const [types, notTypes] = [setOf(filters.roomTypes), setOf(filters.notRoomTypes)];
  const [tags, notTags] = [setOf(filters.tags), setOf(filters.notTags)];
  const name = filters.roomNameLike?.toLowerCase();
  return (room) => {
    const { facts } = room;
    const unknown = facts.bare === true;
    if (isDm !== undefined && facts.is_dm !== isDm) return false;
    if (isInvite !== undefined && (room.membership === "invite") !== isInvite) return false;
    if (isEncrypted !== undefined && (unknown || facts.is_encrypted !== isEncrypted)) return false;
    if (children && !children.has(room.roomId)) return false;
    const type = facts.room_type ?? null;
    if (notTypes && (unknown || notTypes.has(type))) return false;
    if (types && (unknown || !types.has(type))) return false;
    if (notTags && hasTag(facts, notTags)) return false;
    if (tags && !hasTag(facts, tags)) return false;
    return name === undefined || lowerName(facts).includes(name);
  };
}
