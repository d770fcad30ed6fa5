/** The sort orders of a room list (S5). Pure. */

import { Slices, sortInSlices } from "../../base/slices.ts";
import type { RoomFactsRow } from "../../store/room-facts.ts";
import type { SpaceOrder } from "../../sync/space-children.ts";
import type { RoomId } from "../../wire/ids.ts";

export type ListSort = "by_recency" | "by_name" | "by_space_order" | "by_highlight_count" | "by_notification_count";

const SORTS: ReadonlySet<string> = new Set(["by_recency", "by_name", "by_space_order", "by_highlight_count", "by_notification_count"]);

/** The known sorts that were asked for, in that order; by recency if there are none (R16, S5). */
export function listSorts(asked: unknown): readonly ListSort[] {
  const known = (Array.isArray(asked) ? asked : [asked]).filter((sort): sort is ListSort => SORTS.has(String(sort)));
  return known.length > 0 ? [...new Set(known)] : ["by_recency"];
}

export type SortContext = {
  /** Recency of a room, ms. */
  readonly lastTs: (roomId: RoomId) => number;
  readonly spaceOrder: (roomId: RoomId) => SpaceOrder | undefined;
};

const byName = new Intl.Collator("und").compare;
const byText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

/** The rooms in order: the first sort counts most, and the room id breaks ties. */
export function sortRooms<Room extends RoomFactsRow>(rooms: readonly Room[], sorts: readonly ListSort[], context: SortContext): Promise<Room[]> {
  const compares = sorts.map((sort) => comparison(sort, context));
  const inOrder = (a: Room, b: Room) => {
    for (const compare of compares) {
      const difference = compare(a, b);
      if (difference !== 0) return difference;
    }
    return byText(a.room_id, b.room_id);
  };
  return sortInSlices(rooms, inOrder, new Slices());
}

function comparison(sort: ListSort, context: SortContext): (a: RoomFactsRow, b: RoomFactsRow) => number {
  switch (sort) {
    case "by_recency":
      return (a, b) => context.lastTs(b.room_id) - context.lastTs(a.room_id);
    case "by_name":
      // A room without a name comes last.
      return (a, b) => Number(!a.facts.name) - Number(!b.facts.name) || byName(a.facts.name ?? "", b.facts.name ?? "");
    case "by_highlight_count":
      return (a, b) => b.facts.highlight_count - a.facts.highlight_count;
    case "by_notification_count":
      return (a, b) => b.facts.notification_count - a.facts.notification_count;
    case "by_space_order":
      return (a, b) => compareSpaceOrders(context.spaceOrder(a.room_id), context.spaceOrder(b.room_id));
  }
}

/** Spec, "Ordering of children within a space": those with an `order` first, by it; then by timestamp. */
function compareSpaceOrders(a: SpaceOrder | undefined, b: SpaceOrder | undefined): number {
  if (!a || !b) return Number(!a) - Number(!b);
  if (a.order !== null && b.order !== null) return byText(a.order, b.order) || a.ts - b.ts;
  if (a.order !== null || b.order !== null) return a.order === null ? 1 : -1;
  return a.ts - b.ts;
}
