import { expect, test } from "vitest";
import type { EventId } from "../../wire/ids.ts";
import { weave } from "./weave.ts";

const rowsOf = (ids: string) => [...ids].map((id, index) => ({ event_id: id as EventId, ord: index + 1 }));
/** Capitals are state events. */
const pageOf = (ids: string) => [...ids].map((id) => ({ event_id: id as EventId, state_key: id === id.toLowerCase() ? null : "" }));
const woven = (rows: string, page: string) =>
  weave(rowsOf(rows), pageOf(page))
    .map((place) => (place.kind === "stored" ? place.row.event_id : `+${place.event.event_id}`))
    .join("");

test.each([
  ["nothing is new", "abc", "abc", "abc"],
  ["new ones between and after", "abc", "axbycz", "a+xb+yc+z"],
  ["rows that came meanwhile stay behind", "abc", "axb", "a+xbc"],
  ["older than the oldest row", "bc", "xbyc", "b+yc"],
  ["the order of rows is v2's", "abc", "bxac", "ab+xc"],
  ["the page has no row", "d", "xyz", "+x+y+zd"],
  ["there are no rows", "", "xy", "+x+y"],
  ["a state event in a gap comes, one at the end does not", "ab", "aXbYz", "a+Xb+z"],
])("T2: %s", (_what, rows, page, expected) => {
  expect(woven(rows, page)).toBe(expected);
});
