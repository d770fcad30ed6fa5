/** Bounds of sync v3's parameters, checked on what the session would remember after the request (N10). */

import { atMost, requestBounds } from "../wire/request-bounds.ts";
import type { SyncParams } from "./params.ts";

type Bound = keyof ReturnType<typeof requestBounds>;

/** The bound of each parameter that may be a list. */
const LISTS: readonly (readonly [path: string, Bound])[] = [
  ["room_list.state_events", "statePairs"],
  ["room_list.spaces", "filterValues"],
  ["room_list.filters.tags", "filterValues"],
  ["room_list.filters.not_tags", "filterValues"],
  ["room_list.filters.room_types", "filterValues"],
  ["room_list.filters.not_room_types", "filterValues"],
  ["room_list.p.sort", "choices"],
  ["room.state", "statePairs"],
  ["room.types", "timelineTypes"],
  ["room.not_types", "timelineTypes"],
  ["room.earliest_timeline_event_ids", "earliestIds"],
  ["room_members.membership", "choices"],
  ["room_members.p.sort", "choices"],
  ["account_data.rooms", "namedRooms"],
  ["feed.rooms", "namedRooms"],
];

/** @throws MatrixError 400 M_INVALID_PARAM that names the parameter and its bound */
export function checkParamBounds(params: SyncParams): void {
  const bounds = requestBounds();
  for (const [path, bound] of LISTS) {
    const value = valueAt(params, path);
    if (Array.isArray(value)) atMost(path, value.length, bounds[bound]);
  }
  const name = valueAt(params, "room_list.filters.room_name_like");
  if (typeof name === "string") atMost("room_list.filters.room_name_like", name.length, bounds.nameCharacters, "characters");
  atMost("the session's parameters together", JSON.stringify(params).length, bounds.parameterCharacters, "characters as JSON");
}

function valueAt(params: object, path: string): unknown {
  return path.split(".").reduce<unknown>((value, key) => (typeof value === "object" && value !== null ? Reflect.get(value, key) : undefined), params);
}
