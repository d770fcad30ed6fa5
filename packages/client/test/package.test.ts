import { readFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { API_TYPES, apiTypes } from "../scripts/api-types.ts";
import { difference, patched } from "../src/patch.ts";

test("the types are those of the server's schemas (if not: node packages/client/scripts/api-types.ts)", async () => {
  expect(await readFile(API_TYPES, "utf8")).toBe(await apiTypes());
});

test("it depends on nothing", async () => {
  const own = JSON.parse(await readFile(join(import.meta.dirname, "../package.json"), "utf8")) as object;
  for (const kind of ["dependencies", "peerDependencies", "optionalDependencies"]) expect(own).not.toHaveProperty(kind);
});

/** What parameters are made of: no member is null. */
const parameters = fc.letrec((tie) => ({
  object: fc.dictionary(fc.constantFrom("a", "b", "c"), tie("value"), { maxKeys: 3 }),
  value: fc.oneof({ depthSize: "small" }, fc.constantFrom<unknown>(1, "x", false), fc.array(fc.constantFrom(1, null)), tie("object")),
})).object;

test("D9: a difference, applied, makes the one of the other; of equal ones there is none", () => {
  fc.assert(
    fc.property(parameters, parameters, (before, after) => {
      expect(patched(before, difference(before, after))).toEqual(after);
      expect(difference(after, after)).toEqual({});
    }),
  );
});
