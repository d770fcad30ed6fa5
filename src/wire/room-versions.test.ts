import { expect, test } from "vitest";
import { roomVersionFacts, roomVersionOf } from "./room-versions.ts";

test("creators outrank all from version 12 on", () => {
  expect(["1", "10", "11", "12"].map((version) => roomVersionFacts(version).creatorsOutrank)).toEqual([false, false, false, true]);
});

test("an unknown version counts as the newest", () => {
  for (const version of [undefined, "99", "1.0", " 1", "org.example"]) expect(roomVersionFacts(version)).toEqual(roomVersionFacts("12"));
});

test.each([
  [{ room_version: "10" }, "10"],
  [{}, "1"],
  [{ room_version: null }, "1"],
  [{ room_version: 10 }, undefined],
  [null, undefined],
  [undefined, undefined],
  ["x", undefined],
])("the version that %j names is %j", (content, version) => {
  expect(roomVersionOf(content)).toBe(version);
});
