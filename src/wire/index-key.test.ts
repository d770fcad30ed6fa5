import fc from "fast-check";
import { expect, test } from "vitest";

import { anyText } from "../../test/support/lengths.ts";
import { isShort } from "./identifier.ts";
import { isStorable } from "./ids.ts";
import { indexKey, isCutKey } from "./index-key.ts";

test("N2: every text has a key that can be stored and fits in an index", () => {
  fc.assert(
    fc.property(anyText(), (text) => {
      const key = indexKey(text);
      expect(isStorable(key)).toBe(true);
      expect(Buffer.byteLength(key)).toBeLessThanOrEqual(448);
      expect(isCutKey(key)).toBe(key !== text);
      expect(key === text).toBe(isStorable(text) && isShort(text));
    }),
  );
});

test("N2: texts that differ have keys that differ", () => {
  const long = "é".repeat(400);
  const texts = ["", "a", "a\0", "a\ufffd", "a\ud800", "a\ud801", long, `${long}x`, `${long}y`, indexKey(long), indexKey("a\0")];
  expect(new Set(texts.map(indexKey)).size).toBe(texts.length);
});

test("the key of a key is a different one: a text is never mapped twice", () => {
  const key = indexKey("x".repeat(300));
  expect(indexKey(key)).not.toBe(key);
});

test("the beginning of a long text comes before its hash, cut between characters", () => {
  expect(indexKey("😀".repeat(300))).toMatch(/^(😀){48}…{64}[0-9a-f]{64}$/u);
  expect(indexKey(`a\0${"b".repeat(300)}`)).toMatch(/^a\ufffdb{46}…{64}[0-9a-f]{64}$/u);
});
