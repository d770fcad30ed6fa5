/** The parameters, the memory and the answer of the room list (S5), as its parts share them. */

import type { RoomId } from "../../wire/ids.ts";
import type { Entry } from "./room-entry.ts";
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

export type ListAnswer = {
  readonly entries: readonly Entry[];
  readonly count: number;
  readonly p: string;
  readonly removed?: readonly RoomId[];
  readonly notifications?: readonly string[];
};

/** The stream's object. */
export function listAnswer(answer: ListAnswer): string {
  const parts = [`"rooms":[${answer.entries.map((entry) => entry.text).join(",")}]`, `"count":${answer.count}`, `"p":${answer.p}`];
  if (answer.removed && answer.removed.length > 0) parts.push(`"removed":${JSON.stringify(answer.removed)}`);
  if (answer.notifications && answer.notifications.length > 0) parts.push(`"notifications":[${answer.notifications.join(",")}]`);
  return `{${parts.join(",")}}`;
}

export function negotiated(params: Pick<ListParams, "limit" | "sorts">, next?: string): string {
  return JSON.stringify({ limit: params.limit, sort: params.sorts, next });
}

/** How the active set changed. */
export function trackedAfter(before: readonly RoomId[], after: readonly RoomId[]): Tracked {
  const was = new Set(before);
  const is = new Set(after);
  return {
    kept: after.filter((roomId) => was.has(roomId)),
    added: after.filter((roomId) => !was.has(roomId)),
    removed: before.filter((roomId) => !is.has(roomId)),
  };
}
