import fc from "fast-check";
import { expect, it } from "vitest";
import { mergeCounts } from "./key-counts.ts";

it.each([
  ['{"a":5}', '{"a":4}', '{"a":4}'],
  ['{"a":5,"b":1}', '{"a":4}', '{"a":4,"b":0}'],
  ['{"a":0}', "{}", '{"a":0}'],
  ["{}", '{ "a" : 4 }', '{"a":4}'],
  ['{"a":5}', '{"a":null}', '{"a":5}'],
  ["{}", '{"a":null,"b":2}', '{"b":2}'],
  ['{"a":1}', '{"b":"x"}', '{"a":0}'],
])("T12: %s, then %s: %s", (known, reported, merged) => {
  expect(mergeCounts(known, reported)).toBe(merged);
});

it("T12: an algorithm may have any name", () => {
  expect(mergeCounts('{"__proto__":3,"toString":1}', "{}")).toBe('{"__proto__":0,"toString":0}');
});

it("T12: made-up algorithms do not accumulate", () => {
  let known = "{}";
  for (let n = 0; n < 200; n += 1) known = mergeCounts(known, `{"algorithm${n}":1}`);
  expect(Object.keys(JSON.parse(known) as object).length).toBeLessThanOrEqual(21);
});

it("T12: listed counts stay, missing ones become 0, and the same again changes nothing", () => {
  const counts = fc.dictionary(fc.string(), fc.nat(), { maxKeys: 8 });
  fc.assert(
    fc.property(counts, counts, (before, now) => {
      const merged = mergeCounts(JSON.stringify(before), JSON.stringify(now));
      const expected = { ...Object.fromEntries(Object.keys(before).map((algorithm) => [algorithm, 0])), ...now };
      expect(JSON.parse(merged)).toEqual(expected);
      expect(JSON.parse(mergeCounts(merged, JSON.stringify(now)))).toEqual(expected);
    }),
  );
});
