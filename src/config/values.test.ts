/** The values of options. */

import { expect, test } from "vitest";

import { defaultDataDirectory } from "./data-directory.ts";
import { parseDuration } from "./duration.ts";
import { parseListenAddress } from "./listen-address.ts";

test.each([
  [":8008", { port: 8008 }],
  ["8008", { port: 8008 }],
  ["127.0.0.1:8008", { host: "127.0.0.1", port: 8008 }],
  ["localhost:0", { host: "localhost", port: 0 }],
  ["[::1]:8008", { host: "::1", port: 8008 }],
  ["/run/syncv3.sock", { path: "/run/syncv3.sock" }],
  ["./s.sock", { path: "./s.sock" }],
  ["unix:s.sock", { path: "s.sock" }],
])("address %s", (text, expected) => {
  expect(parseListenAddress(text)).toEqual(expected);
});

test.each(["", "x", "host", "::1:8008", "127.0.0.1:65536", "127.0.0.1:", ":-1", "unix:", "a:b:1"])("not an address: %s", (text) => {
  expect(parseListenAddress(text)).toBeUndefined();
});

test.each([
  ["250ms", 250],
  ["90s", 90_000],
  ["1.5h", 5_400_000],
  ["30m", 1_800_000],
  ["7d", 604_800_000],
])("duration %s", (text, expected) => {
  expect(parseDuration(text)).toBe(expected);
});

test.each(["", "7", "-1s", "0s", "1w", "9999999d", "1e3s", "d"])("not a duration: %s", (text) => {
  expect(parseDuration(text)).toBeUndefined();
});

test("the data directory is in the user's data directory", () => {
  expect(defaultDataDirectory({}, "linux", "/home/me")).toBe("/home/me/.local/share/syncv3");
  expect(defaultDataDirectory({}, "darwin", "/Users/me")).toBe("/Users/me/Library/Application Support/syncv3");
  expect(defaultDataDirectory({ XDG_DATA_HOME: "/data" }, "linux", "/home/me")).toBe("/data/syncv3");
  expect(defaultDataDirectory({ XDG_DATA_HOME: "relative" }, "linux", "/home/me")).toBe("/home/me/.local/share/syncv3");
});
