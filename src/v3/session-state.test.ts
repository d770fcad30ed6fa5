import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { mergePatch } from "./merge.ts";
import type { RoomId } from "../wire/ids.ts";
import { EMPTY_STATE, mergeRequest, parseState, serializeState, type SessionState } from "./session-state.ts";

const merged = (...bodies: Record<string, unknown>[]) =>
  bodies.reduce<ReturnType<typeof mergeRequest>>(
    (before, body) => mergeRequest({ params: before.params, streams: {} }, body),
    mergeRequest(EMPTY_STATE, {}),
  );

describe("sticky parameters (R6, D9)", () => {
  it("TestRequestApplyDeltas: streams add up, parameters replace", () => {
    expect(merged({ typing: { room_id: "!a" } }, { to_device: { limit: 100 } }).params).toEqual({
      typing: { room_id: "!a" },
      to_device: { limit: 100 },
    });
    expect(merged({ typing: { room_id: "!a" } }, { typing: { room_id: "!b" } }).params).toEqual({ typing: { room_id: "!b" } });
  });

  it("B12: naming a stream keeps the parameters that are not named", () => {
    expect(merged({ room_members: { room_id: "!a", p: { limit: 5, sort: "by_name" } } }, { room_members: { p: { limit: 7 } } }).params).toEqual({
      room_members: { room_id: "!a", p: { limit: 7, sort: "by_name" } },
    });
  });

  it("B14: null restores a parameter's default, null for a stream ends it", () => {
    expect(merged({ typing: { room_id: "!a" }, to_device: { limit: 3 } }, { typing: null, to_device: { limit: null } }).params).toEqual({
      to_device: {},
    });
  });

  it("B13: p.since is never sticky, p.limit and p.sort are", () => {
    const request = merged({ room_list: { p: { since: "1", limit: 3, sort: ["by_name"] } } });
    expect(request.params).toEqual({ room_list: { p: { limit: 3, sort: ["by_name"] } } });
    expect([...request.firstPages]).toEqual(["room_list"]);
    const page = merged({ room_list: { p: { since: "token", limit: 3 } } });
    expect(page.pages.get("room_list")).toEqual({ since: "token", limit: 3 });
    expect([...page.firstPages]).toEqual([]);
  });

  it("D5: `p` of a stream without pages means nothing", () => {
    const request = merged({ typing: { room_id: "!a", p: { since: "x" } }, room: { p: { since: "1" } } });
    expect([request.pages.size, request.firstPages.size]).toEqual([0, 0]);
  });

  it("B16: unknown streams and other spellings are ignored (D5)", () => {
    expect(merged({ Typing: { room_id: "!a" }, room_member: {}, initial_sync: {} }).params).toEqual({});
  });

  it("mergePatch is RFC 7396", () => {
    const json = fc.jsonValue({ maxDepth: 3 });
    fc.assert(
      fc.property(json, json, (a, b) => {
        const target = { value: a };
        expect(mergePatch(target, { value: b })).toEqual(reference(target, { value: b }));
      }),
    );
  });

  it("states read back as they were", () => {
    const state: SessionState = {
      params: { typing: { room_id: "!a" as RoomId } },
      streams: { typing: { selection: "x", memory: { phase: "live" } } },
    };
    expect(parseState(serializeState(state))).toEqual(state);
    expect(parseState("")).toEqual(EMPTY_STATE);
  });
});

/** The pseudocode of RFC 7396, section 2. */
function reference(target: unknown, patch: unknown): unknown {
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) return patch;
  const result = typeof target === "object" && target !== null && !Array.isArray(target) ? Object.entries(target) : [];
  const map = new Map<string, unknown>(result);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) map.delete(key);
    else map.set(key, reference(map.get(key), value));
  }
  return Object.fromEntries(map);
}
