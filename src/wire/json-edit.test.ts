import fc from "fast-check";
import { expect, test } from "vitest";
import { withMember, withObject } from "./json-edit.ts";
import { JsonSyntaxError } from "./json-scan.ts";

test.each([
  ["{}", '{"k":1}'],
  [" { } ", '{"k":1}'],
  ['{"a":1.0}', '{"a":1.0,"k":1}'],
  ['{"k":2,"a":12345678901234567890}', '{"a":12345678901234567890,"k":1}'],
  ['{"a":{"k":3}, "\\u006b" : [ ] , "k":2 }\n', '{"a":{"k":3},"k":1}'],
  ['{"a":"}" \n}', '{"a":"}","k":1}'],
])("a member set in %j", (text, expected) => {
  expect(withMember(text, "k", () => "1").trim()).toBe(expected);
});

test("what changes nothing leaves every byte", () => {
  const text = ' {"a" : 1.0, "k" : [ ] } ';
  expect(withMember(text, "k", (value) => value)).toBe(text);
  expect(withMember(text, "none", () => undefined)).toBe(text);
});

test("a member removed, and one inside an object", () => {
  expect(withMember('{"k":1,"a":2}', "k", () => undefined)).toBe('{"a":2}');
  for (const [text, expected] of [
    ['{"o":{"a":1}}', { o: { a: 1, k: 1 } }],
    ['{"o":[1]}', { o: { k: 1 } }],
    ["{}", { o: { k: 1 } }],
  ] as const) {
    expect(JSON.parse(withObject(text, "o", (object) => withMember(object, "k", () => "1")))).toEqual(expected);
  }
});

test.each(["", "[]", "null", '{"a":1', "{}x", '"{}"'])("%j is no object", (text) => {
  expect(() => withMember(text, "k", () => "1")).toThrow(JsonSyntaxError);
});

test("all other members of any object keep their bytes", () => {
  const keys = fc.oneof(fc.constantFrom("k", "", "}", '"', "__proto__"), fc.string());
  fc.assert(
    fc.property(fc.dictionary(keys, fc.jsonValue()), fc.constantFrom(undefined, 0, 1, "\t"), (made, indent) => {
      // As in JSON: without -0.
      const object = JSON.parse(JSON.stringify(made)) as Record<string, unknown>;
      const text = JSON.stringify(object, null, indent);
      const others = Object.entries(object).filter(([key]) => key !== "k");
      expect(JSON.parse(withMember(text, "k", () => '"new"'))).toEqual(Object.fromEntries([...others, ["k", "new"]]));
      expect(JSON.parse(withMember(text, "k", () => undefined))).toEqual(Object.fromEntries(others));
    }),
  );
});
