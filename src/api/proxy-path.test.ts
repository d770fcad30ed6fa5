import { expect, test } from "vitest";
import { judgeTarget, segmentsOf } from "./proxy-path.ts";

test.each([
  "/_matrix/client/v3/sync?timeout=0",
  "/_matrix/client/v3/rooms/!a:b/event/%24x%2Fy",
  "/_matrix/client/v3/directory/room/%23a..b%2Fc:d",
  "/_synapse/client/pick_idp",
  "/.well-known/matrix/client",
  "/_matrix/media/v3/download/a/b?../../..",
])("%s is passed as it is", (target) => {
  expect(judgeTarget(target)).toBe("pass");
});

test.each(["/", "/_matrix", "/_matrixx/a", "/_synapse/admin/v1/users", "/admin", "//_matrix/client/versions", "/health"])(
  "%s is below no prefix",
  (target) => {
    expect(judgeTarget(target)).toBe("unknown");
  },
);

test.each([
  "/_matrix/../_synapse/admin/v1/users",
  "/_matrix/%2e%2E/_synapse/admin",
  "/_matrix/.%2e/x",
  "/_matrix/./client/v3/sync",
  "/_matrix/x/..",
  "/_matrix/%2f..%2f..%2f_synapse/admin",
  "/_matrix/a\\..\\..\\b",
  "/_matrix/a%5c..%5cb",
  "http://evil.example/_matrix/client/versions",
  "*",
])("%s is refused", (target) => {
  expect(judgeTarget(target)).toBe("refused");
});

test("segments are decoded, and an encoded slash does not split", () => {
  expect(segmentsOf("/a/b%2Fc?d=e")).toEqual(["a", "b/c"]);
  expect(segmentsOf("/a/%zz")).toBeNull();
});
