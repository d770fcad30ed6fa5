import { afterEach, describe, expect, it } from "vitest";
import { v3List } from "../../bench/measure.ts";
import { MatrixError } from "../wire/errors.ts";
import { requestBounds, scaleRequestBounds } from "../wire/request-bounds.ts";
import type { JsonObject } from "./merge.ts";
import { checkParamBounds } from "./param-bounds.ts";
import { EMPTY_STATE, mergeRequest } from "./session-state.ts";

afterEach(() => scaleRequestBounds(1));

const texts = (count: number) => Array.from({ length: count }, (_, index) => `t${index}`);
const pairs = (count: number) => texts(count).map((type) => [type, ""]);

/** What a session would remember after these requests; the error of the last one, or null. */
function sent(...bodies: JsonObject[]): MatrixError | null {
  let state = EMPTY_STATE;
  for (const body of bodies) {
    const { params } = mergeRequest(state, body);
    try {
      checkParamBounds(params);
    } catch (error) {
      if (error instanceof MatrixError) return error;
      throw error;
    }
    state = { ...state, params };
  }
  return null;
}

type Bound = keyof ReturnType<typeof requestBounds>;
const CASES: readonly (readonly [field: string, Bound, body: (count: number) => JsonObject])[] = [
  ["room_list.state_events", "statePairs", (n) => ({ room_list: { state_events: pairs(n) } })],
  ["room_list.spaces", "filterValues", (n) => ({ room_list: { spaces: texts(n) } })],
  ["room_list.filters.tags", "filterValues", (n) => ({ room_list: { filters: { tags: texts(n) } } })],
  ["room_list.filters.not_tags", "filterValues", (n) => ({ room_list: { filters: { not_tags: texts(n) } } })],
  ["room_list.filters.room_types", "filterValues", (n) => ({ room_list: { filters: { room_types: texts(n) } } })],
  ["room_list.filters.not_room_types", "filterValues", (n) => ({ room_list: { filters: { not_room_types: texts(n) } } })],
  ["room_list.filters.room_name_like", "nameCharacters", (n) => ({ room_list: { filters: { room_name_like: "x".repeat(n) } } })],
  ["room_list.p.sort", "choices", (n) => ({ room_list: { p: { sort: texts(n) } } })],
  ["room.state", "statePairs", (n) => ({ room: { state: pairs(n) } })],
  ["room.types", "timelineTypes", (n) => ({ room: { types: texts(n) } })],
  ["room.not_types", "timelineTypes", (n) => ({ room: { not_types: texts(n) } })],
  ["room.earliest_timeline_event_ids", "earliestIds", (n) => ({ room: { earliest_timeline_event_ids: texts(n) } })],
  ["room_members.membership", "choices", (n) => ({ room_members: { membership: texts(n) } })],
  ["room_members.p.sort", "choices", (n) => ({ room_members: { p: { sort: texts(n) } } })],
  ["account_data.rooms", "namedRooms", (n) => ({ account_data: { rooms: texts(n) } })],
];

describe("N10: bounds of sync v3's parameters", () => {
  it.each(CASES)("N10: %s: at its bound (%s) it is taken, one above is a 400 that names it", (field, bound, body) => {
    const most = requestBounds()[bound];
    expect(sent(body(most))).toBeNull();
    for (const bodies of [[body(most + 1)], [{ typing: {} }, body(most), body(most + 1)]]) {
      const refused = sent(...bodies);
      expect([refused?.status, refused?.errcode]).toEqual([400, "M_INVALID_PARAM"]);
      expect(refused?.message).toContain(`${field}: at most ${most} `);
    }
  });

  it("N10: what several requests make a session remember is added up", () => {
    const long = (length: number) => "x".repeat(length);
    const most = requestBounds().parameterCharacters;
    const first = { room: { types: [long(100_000)] } };
    const second = { room_list: { spaces: [long(100_000)] } };
    const size = JSON.stringify({ ...first, ...second, typing: { room_id: "" } }).length;
    const third = (length: number) => ({ typing: { room_id: long(length) } });
    expect(sent(first, second, third(most - size))).toBeNull();
    expect(sent(first, second, third(most - size + 1))?.message).toContain(`at most ${most} characters`);
    // What is taken back counts no more.
    expect(sent(first, second, { room: null }, third(most - size + 1))).toBeNull();
  });

  it("N10: the bench's list and a session with every stream are taken with a tenth of every bound", () => {
    scaleRequestBounds(0.1);
    const room = { room_id: "!a:test", state: "all", types: texts(5), earliest_timeline_event_ids: texts(20) };
    const streams = { typing: { room_id: "room_list" }, receipts: { room_id: "room_list" }, invites: {}, presence: {} };
    expect(sent(v3List(100), { room, ...streams, room_members: { room_id: "!a:test", membership: ["join"], p: { sort: "by_pl" } } })).toBeNull();
  });
});
