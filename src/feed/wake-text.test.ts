import { expect, test } from "vitest";
import type { AccountNo, DeviceNo, RoomId, SessionNo } from "../wire/ids.ts";
import type { Wake } from "./hub.ts";
import { readText, wakeText, wordText } from "./wake-text.ts";

const account = 7 as AccountNo;
const WAKES: Wake[] = [
  { type: "news", account },
  { type: "news", account, device: 3 as DeviceNo, kinds: new Set(["timeline", "facts"]), rooms: new Set(["!a:test" as RoomId]) },
  { type: "session", account, session: 9 as SessionNo, request: "r1" },
  { type: "connection", account, device: 3 as DeviceNo, name: "digest", request: "r2" },
  { type: "presence", account, device: 3 as DeviceNo, name: "digest", presence: "unavailable" },
];

test("a wake-up survives its text form", () => {
  for (const wake of WAKES) expect(readText(wakeText("me", wake))).toEqual({ from: "me", says: wake });
  for (const word of ["!", "?", "*"] as const) expect(readText(wordText("me", word))).toEqual({ from: "me", says: word });
});

test("with very many rooms the text names none, which means any", () => {
  const rooms = new Set(Array.from({ length: 500 }, (_, index) => `!room${index}:test` as RoomId));
  const text = wakeText("me", { type: "news", account, kinds: new Set(["timeline"]), rooms });
  expect(Buffer.byteLength(text)).toBeLessThan(7000);
  expect(readText(text)?.says).toEqual({ type: "news", account, kinds: new Set(["timeline"]) });
});

test.each(["", "nonsense", "null", "7", "[]", '"a"', "{}", '{"from":1,"a":2}', '{"from":"x"}'])("%j says nothing", (text) => {
  expect(readText(text)).toBeNull();
});
