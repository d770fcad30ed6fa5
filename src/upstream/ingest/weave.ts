/** Puts what the homeserver withheld of a room's timeline where it belongs (T2). Pure. */

import type { EventId } from "../../wire/ids.ts";

/** A row of a room's timeline. */
export type StoredPlace = { readonly event_id: EventId; readonly ord: number };

/** A row that keeps its event, and what the page has of it; or a new event. */
export type Woven<E> = { readonly kind: "stored"; readonly row: StoredPlace; readonly event: E | null } | { readonly kind: "new"; readonly event: E };

type PageEvent = { readonly event_id: EventId; readonly state_key: string | null };

/**
 * The rows in their order, each new event of the page after the row that it follows there. The order of rows does not change: v2's may differ from
 * that of /messages. What is older than the oldest row of the page is left out, because nothing is known to be missing between. So are state
 * events that follow all rows: polls bring those.
 * @param rows from the oldest one of the page on, in order; none of the page: those that are newer than it
 * @param page oldest first
 */
export function weave<E extends PageEvent>(rows: readonly StoredPlace[], page: readonly E[]): Woven<E>[] {
  const stored = new Set(rows.map((row) => row.event_id));
  const ofPage = new Map(page.map((event) => [event.event_id, event]));
  const first = page.findIndex((event) => stored.has(event.event_id));
  const last = page.findLastIndex((event) => stored.has(event.event_id));
  const after = new Map<EventId | null, Woven<E>[]>();
  let before: EventId | null = null;
  for (const [index, event] of page.entries()) {
    if (stored.has(event.event_id)) before = event.event_id;
    else if (index > first && (index < last || event.state_key === null)) {
      after.set(before, [...(after.get(before) ?? []), { kind: "new", event }]);
    }
  }
  const places = rows.flatMap((row) => [
    { kind: "stored", row, event: ofPage.get(row.event_id) ?? null } as const,
    ...(after.get(row.event_id) ?? []),
  ]);
  return [...(after.get(null) ?? []), ...places];
}
