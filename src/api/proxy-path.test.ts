import { expect, test } from "vitest";
import { clientSegments, judgeTarget, segmentsOf } from "./proxy-path.ts";

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

test("the admin API passes where that is wanted, and nothing beside it", () => {
  expect(judgeTarget("/_synapse/admin/v2/users/%40a:b?limit=1", true)).toBe("pass");
  expect(judgeTarget("/_matrix/client/versions", true)).toBe("pass");
  for (const target of ["/_synapse/admin", "/_synapse/administrator/x", "/_synapse/%61dmin/x", "/_synapse//admin/x", "/_synapse/metrics"]) {
    expect(judgeTarget(target, true), target).toBe("unknown");
  }
  for (const target of ["/_synapse/admin/../metrics", "/_synapse/admin/%2e%2E/x", "/_synapse/admin/..%2fx"]) {
    expect(judgeTarget(target, true), target).toBe("refused");
  }
});

test("a client path without its version", () => {
  expect(clientSegments("/_matrix/client/v3/rooms/%21a%2Fb/send?x=/y")).toEqual(["rooms", "!a/b", "send"]);
  expect(clientSegments("/_matrix/client/api/v1/login")).toEqual(["login"]);
  expect(clientSegments("/_matrix/client/versions")).toEqual([]);
  for (const target of ["/_matrix/federation/v1/login", "/_matrix/client/v3/%zz", "/x"]) expect(clientSegments(target), target).toBeNull();
});
