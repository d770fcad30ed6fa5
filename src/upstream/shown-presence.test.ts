import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { ShownPresence } from "./shown-presence.ts";

let changes: { at: number; presence: string }[];
let shown: ShownPresence;

beforeEach(() => {
  vi.useFakeTimers();
  changes = [];
  const started = Date.now();
  shown = new ShownPresence({ now: Date.now, changed: () => changes.push({ at: (Date.now() - started) / 1000, presence: shown.presence }) });
});
afterEach(() => {
  shown.stop();
  vi.useRealTimers();
});

const seconds = (n: number) => vi.advanceTimersByTime(n * 1000);

test("M79: nobody is shown who did not ask, and offline again half a minute after the last request", () => {
  seconds(100);
  expect([shown.presence, changes]).toEqual(["offline", []]);
  shown.said("a", "online");
  expect(changes).toEqual([{ at: 100, presence: "online" }]);
  seconds(20);
  shown.said("a", "online");
  seconds(29);
  expect(shown.presence).toBe("online");
  seconds(1);
  expect(changes.slice(1)).toEqual([{ at: 150, presence: "offline" }]);
  expect(vi.getTimerCount()).toBe(0);
});

test("M78: of several connections the most present counts, and each may say something else", () => {
  shown.said("phone", "unavailable");
  seconds(25);
  shown.said("laptop", "online");
  expect(shown.presence).toBe("online");
  seconds(4);
  shown.said("phone", "unavailable");
  seconds(21);
  shown.said("laptop", "offline");
  expect(shown.presence).toBe("unavailable");
  seconds(60);
  expect(changes).toEqual([
    { at: 0, presence: "unavailable" },
    { at: 25, presence: "online" },
    { at: 50, presence: "unavailable" },
    { at: 75, presence: "offline" },
  ]);
});

test("M79: at most one change in 25 seconds, and none if it is as it was by then", () => {
  shown.said("a", "online");
  for (const [, presence] of Array.from({ length: 10 }, (_, n) => [n, n % 2 === 0 ? "unavailable" : "online"] as const)) {
    shown.said("a", presence);
    seconds(2);
  }
  expect(changes).toEqual([{ at: 0, presence: "online" }]);
  shown.said("a", "unavailable");
  seconds(5);
  expect(changes.slice(1)).toEqual([{ at: 25, presence: "unavailable" }]);
});

test("M79: a user with very many connections costs no more than a hundred", () => {
  shown.said("first", "online");
  for (let n = 0; n < 100; n += 1) shown.said(`c${n}`, "unavailable");
  seconds(25);
  expect(shown.presence).toBe("unavailable");
  seconds(30);
  expect(shown.presence).toBe("offline");
});
