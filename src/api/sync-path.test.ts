import fc from "fast-check";
import { expect, test } from "vitest";
import { syncKindOf } from "./sync-path.ts";

const V2 = ["api/v1", "r0", "v1", "v3", "unstable", "v2_alpha"].map((version) => `/_matrix/client/${version}/sync`);
const SLIDING = [
  "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
  "/_matrix/client/v1/org.matrix.simplified_msc3575/sync",
  "/_matrix/client/unstable/org.matrix.msc3575/sync",
  "/_matrix/client/unstable/org.matrix.msc3575/sync/e2ee",
  "/_matrix/client/unstable/org.matrix.msc4525/sync",
  "/_matrix/client/v4/sync",
  "/_matrix/client/v5/sync",
];

/** The path with some of its characters escaped, slashes doubled, a slash at its end, and a query. */
const spellings = (path: string) =>
  fc
    .tuple(
      fc.array(fc.constantFrom("as it is", "escaped", "in lower case", "escaped twice"), { minLength: path.length, maxLength: path.length }),
      fc.constantFrom("", "/", "//"),
      fc.constantFrom("", "?", "?timeout=0", "?since=/a/b", "?a=%zz"),
    )
    .map(([hows, end, query]) => {
      const hex = (character: string) => character.charCodeAt(0).toString(16);
      const spelled = [...path].map((character, index) => {
        const how = index < "/_matrix/".length ? "as it is" : hows[index];
        if (how === "escaped") return `%${hex(character).toUpperCase()}`;
        if (how === "in lower case") return `%${hex(character)}`;
        return how === "escaped twice" ? `%25${hex(character)}` : character;
      });
      return spelled.join("") + end + query;
    });

test("T19: v2 sync is recognised under every spelling, also as HEAD", () => {
  fc.assert(
    fc.property(fc.constantFrom(...V2).chain(spellings), fc.constantFrom("GET", "HEAD"), (target, method) => {
      expect(syncKindOf(method, target), target).toBe("v2");
    }),
    { numRuns: 500 },
  );
});

test("T19: the homeservers' sliding sync is recognised under every spelling", () => {
  fc.assert(
    fc.property(fc.constantFrom(...SLIDING).chain(spellings), (target) => {
      expect(syncKindOf("POST", target), target).toBe("sliding");
    }),
    { numRuns: 500 },
  );
});

test.each([
  ["GET", "/_matrix/client/v3/devices/sync"],
  ["GET", "/_matrix/client/v3/profile/sync"],
  ["PUT", "/_matrix/client/v3/rooms/!a.b:c/send/sync/1"],
  ["PUT", "/_matrix/client/v3/user/@a:b/account_data/sync"],
  ["PUT", "/_matrix/client/v3/sendToDevice/sync/1"],
  ["GET", "/_matrix/client/v3/rooms/!a/state/org.matrix.x/sync"],
  ["GET", "/_matrix/client/v3/directory/room/sync"],
  ["GET", "/_matrix/client/v3/syncs"],
  ["GET", "/_matrix/client/sync"],
  ["OPTIONS", "/_matrix/client/v3/sync"],
  ["DELETE", "/_matrix/client/v3/sync"],
  ["GET", "/_matrix/federation/v1/sync"],
  ["GET", "/sync"],
  ["GET", "/"],
  ["POST", "/_matrix/client/unstable/syncv3/sync"],
])("%s %s is none", (method, target) => {
  expect(syncKindOf(method, target)).toBeNull();
});
