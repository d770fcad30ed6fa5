/** The parameters and the negotiated part of the room list (S5), which its parts share. */

import type { RoomId } from "../../wire/ids.ts";
import type { ListAnswer } from "./answers.ts";
import type { ListFilters } from "./room-list-match.ts";
import type { ListSort } from "./room-list-sort.ts";
import { clampLimit, type Tracked } from "./stream.ts";

export type ListParams = {
  readonly limit: number;
  readonly sorts: readonly ListSort[];
  readonly stateEvents: readonly (readonly [string, string])[];
  readonly spaces: readonly RoomId[] | null;
  readonly timelineLimit: number;
  readonly lazyLoadMembers: boolean;
  readonly trackNotifications: boolean;
  readonly filters: ListFilters;
  /** False: an empty active set, notifications only. */
  readonly rooms: boolean;
};

export const listLimit = (asked: number | undefined) => clampLimit(asked, 20, 100);

export function negotiated({ limit, sorts }: Pick<ListParams, "limit" | "sorts">, next?: string): ListAnswer["p"] {
  return { limit, sort: sorts, next };
}

/** How the active set has changed. */
export function trackedAfter(before: readonly RoomId[], after: readonly RoomId[]): Tracked {
  const was = new Set(before);
  const is = new Set(after);
  return {
    staying: after.filter((roomId) => was.has(roomId)),
    added: after.filter((roomId) => !was.has(roomId)),
    removed: before.filter((roomId) => !is.has(roomId)),
  };
}
