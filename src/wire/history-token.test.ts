import { expect, it } from "vitest";
import { historyToken, isHistoryToken, readHistoryToken } from "./history-token.ts";
import type { EventId, RoomId } from "./ids.ts";

const make = (room: string, event: string, later: string) => historyToken({ room: room as RoomId, event: event as EventId, later });

it.each([
  ["!a:b", "$c", "s5_6"],
  ["!ä~:b", "$x~y%7E&z:old.example", "m5~1.7~2.8_4"],
  ["!a:b", "$c", ""],
])("T20: a token of room %s, event %s and %s says so", (room, event, later) => {
  expect(readHistoryToken(make(room, event, later))).toEqual({ room, event, later });
});

it("T20: instead of a token that would be too long for a URL, only the later one is used", () => {
  const later = "s".repeat(3000);
  expect(make("!a:b", "$c", later)).toBe(later);
  expect(isHistoryToken(make("!a:b", `$${"ä".repeat(120)}`, "s5"))).toBe(true);
});

it.each(["", "s5_6", "syncv3_AAAA", "syncv3~", "syncv3~a", "syncv3~a~b", "syncv3~%~b~c", "syncv3~~b~c", `syncv3~a~b~${"c".repeat(3000)}`])(
  "T20: %s is not a token",
  (text) => expect(readHistoryToken(text)).toBeNull(),
);
