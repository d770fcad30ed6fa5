import { expect, test } from "vitest";
import { isSameJson } from "./same-json.ts";

test.each([
  ["the order of members", '{"a":1,"b":{"c":[1,2],"d":null}}', '{ "b": {"d":null, "c":[1,2]}, "a":1.0 }', true],
  ["another value", '{"a":1}', '{"a":2}', false],
  ["a member more", '{"a":1}', '{"a":1,"b":1}', false],
  ["another member", '{"a":1}', '{"b":1}', false],
  ["the order of a list", "[1,2]", "[2,1]", false],
  ["a list and an object", "[1]", '{"0":1}', false],
  ["nothing and an object", "null", "{}", false],
  ["escapes", '{"a":"\\u0041"}', '{"a":"A"}', true],
  ["a member of Object's", '{"toString":1}', '{"valueOf":1}', false],
  ["another prototype", '{"__proto__":{"a":1}}', '{"__proto__":{"a":2}}', false],
])("T6: two texts are compared by what they say: %s", (_, one, other, same) => {
  expect([isSameJson(one, other), isSameJson(other, one)]).toEqual([same, same]);
});

test("T6: two deeply nested texts are compared", () => {
  const deep = (value: string) => `${"[".repeat(100_000)}${value}${"]".repeat(100_000)}`;
  expect([isSameJson(deep("1"), deep("1.0")), isSameJson(deep("1"), deep("2"))]).toEqual([true, false]);
});
