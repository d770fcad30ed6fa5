import { expect, test } from "vitest";
import { isIdentifier, isObject, isShort } from "./identifier.ts";

test("255 bytes are short, 256 are not, whatever the characters", () => {
  for (const [character, bytes] of [
    ["a", 1],
    ["é", 2],
    ["€", 3],
    ["😀", 4],
  ] as const) {
    const most = Math.floor(255 / bytes);
    expect(isShort(character.repeat(most))).toBe(true);
    expect(isShort(character.repeat(most + 1))).toBe(false);
  }
  expect([isShort("abc", 3), isShort("abcd", 3), isShort("é", 1), isShort("", 0)]).toEqual([true, false, false, true]);
});

test.each(["", "a\0", "\ud800", "a".repeat(256), null, 5, undefined])("%j is no identifier", (value) => {
  expect(isIdentifier(value)).toBe(false);
});

test.each(["a", "@ü:b", "😀"])("%j is one", (value) => {
  expect(isIdentifier(value)).toBe(true);
});

test("lists and null are not objects", () => {
  expect([{}, [], null, "x"].map(isObject)).toEqual([true, false, false, false]);
});
