import { describe, expect, it } from "vitest";
import { endpointOf } from "./endpoints.ts";

const BASE = "/_matrix/client";

describe("M98: endpoints that a homeserver may lack", () => {
  it.each([
    ["/v1/room_summary/%21a%3Atest?via=test", "summary", "!a:test"],
    ["/v1/room_summary/%23a%2Fb%3Atest", "summary", "#a/b:test"],
    ["/unstable/im.nheko.summary/summary/!a:test", "summary", "!a:test"],
    ["/unstable/im.nheko.summary/rooms/!a:test/summary", "summary", "!a:test"],
    ["/v1/rooms/!a:test/threads?limit=5", "threads", "!a:test"],
    ["/unstable/org.matrix.msc3856/rooms/!a:test/threads", "threads", "!a:test"],
  ])("M98: %s is one", (target, kind, room) => {
    expect(endpointOf("GET", BASE + target)).toMatchObject({ kind, room });
  });

  it.each([
    ["POST", "/v1/room_summary/!a:test"],
    ["GET", "/v1/room_summary"],
    ["GET", "/v1/room_summary/!a:test/more"],
    ["GET", "/v3/rooms/!a:test/threads"],
    ["GET", "/v1/rooms/!a:test/relations"],
    ["GET", "/v1/rooms/%/threads"],
  ])("M98: %s %s is none", (method, target) => {
    expect(endpointOf(method, BASE + target)).toBeNull();
  });
});
