import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CREATOR_LEVEL, powerLevels } from "./power-levels.ts";

const CREATOR = "@creator:a";

function level(content: unknown, userId: string, version = "10", additional?: unknown): number {
  return powerLevels(content, CREATOR, additional, version).ofUser(userId);
}

describe("without a power-level event", () => {
  test.each([null, undefined])("(%j) the creator has 100, all others 0", (content) => {
    const levels = powerLevels(content, CREATOR, undefined, "10");
    expect(levels).toMatchObject({ explicit: [[CREATOR, 100]], usersDefault: 0 });
    expect([CREATOR, "@b:a"].map((userId) => levels.ofUser(userId))).toEqual([100, 0]);
  });

  test("no user has more than 0 if the creator is unknown", () => {
    expect(powerLevels(null, null, undefined, "10")).toMatchObject({ explicit: [], usersDefault: 0 });
  });
});

describe("with a power-level event", () => {
  test("each user has the level in the event", () => {
    const levels = powerLevels({ users: { "@a:a": 50, "@b:a": -5 }, users_default: 10 }, CREATOR, undefined, "10");
    expect(levels).toMatchObject({
      explicit: [
        ["@a:a", 50],
        ["@b:a", -5],
      ],
      usersDefault: 10,
    });
    expect(["@a:a", "@b:a", CREATOR].map((userId) => levels.ofUser(userId))).toEqual([50, -5, 10]);
  });

  test.each([{}, [], "x", 5])("of content %j all have 0, the creator too", (content) => {
    expect(level(content, CREATOR)).toBe(0);
  });

  test.each([
    ["100", 100],
    [" 50 ", 50],
    ["-7", -7],
    ["+7", 7],
    ["007", 7],
    [50.9, 50],
    [-0.5, 0],
    [1e300, CREATOR_LEVEL - 1],
    [-1e300, -CREATOR_LEVEL],
    ["9".repeat(400), CREATOR_LEVEL - 1],
  ])("the level %j counts as %j", (value, expected) => {
    expect(level({ users: { "@a:a": value } }, "@a:a")).toBe(expected);
    expect(level({ users_default: value }, "@a:a")).toBe(expected);
  });

  test.each(["", "x", "5x", "1.5", "0x10", "1e2", null, true, [], [5], {}])("the level %j counts as none", (value) => {
    expect(powerLevels({ users: { "@a:a": value }, users_default: 7 }, CREATOR, undefined, "10")).toMatchObject({ explicit: [], usersDefault: 7 });
    expect(level({ users_default: value }, "@a:a")).toBe(0);
  });

  test("a user id that cannot be stored is left out", () => {
    expect(powerLevels({ users: { "@\0": 5, "": 5, "@a:a": 5 } }, null, undefined, "10").explicit).toEqual([["@a:a", 5]]);
  });

  test("a member of Object.prototype is not a user", () => {
    expect(level({ users: {} }, "constructor")).toBe(0);
    expect(level(JSON.parse('{"users":{"__proto__":5}}'), "toString")).toBe(0);
  });
});

describe("from room version 12 on", () => {
  test("creators rank above all levels, whatever the event says", () => {
    const content = { users: { "@a:a": Number.MAX_SAFE_INTEGER, [CREATOR]: 5 }, users_default: 1 };
    const levels = powerLevels(content, CREATOR, ["@second:a", 5, null], "12");
    expect(levels.ofUser(CREATOR)).toBe(CREATOR_LEVEL);
    expect(levels.ofUser("@second:a")).toBe(CREATOR_LEVEL);
    expect(levels.ofUser("@a:a")).toBeLessThan(CREATOR_LEVEL);
    expect(levels.explicit.map(([userId]) => userId)).toEqual(["@a:a", CREATOR, "@second:a"]);
  });

  test("creators do so without the event too", () => {
    expect(level(null, CREATOR, "12")).toBe(CREATOR_LEVEL);
    expect(level(null, "@b:a", "12")).toBe(0);
  });

  test.each([undefined, null, "x", { a: 1 }])("additional creators of %j are none", (additional) => {
    expect(powerLevels({}, CREATOR, additional, "12").explicit).toEqual([[CREATOR, CREATOR_LEVEL]]);
  });

  test("creators do not before room version 12", () => {
    expect(powerLevels({}, CREATOR, ["@second:a"], "11").explicit).toEqual([]);
  });
});

test("any content gives safe integers, each user once", () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.jsonValue(), fc.record({ users: fc.dictionary(fc.string(), fc.jsonValue()), users_default: fc.jsonValue() })),
      (content) => {
        const levels = powerLevels(content, CREATOR, content, "12");
        const { explicit, usersDefault } = levels;
        for (const value of [usersDefault, ...explicit.map(([, one]) => one)]) {
          expect(Number.isSafeInteger(value)).toBe(true);
          expect(Object.is(value, -0)).toBe(false);
        }
        for (const [userId, value] of explicit) expect(levels.ofUser(userId)).toBe(value);
        expect(new Set(explicit.map(([userId]) => userId)).size).toBe(explicit.length);
      },
    ),
  );
});
