import { describe, expect, it } from "vitest";
import { MatrixError } from "../../wire/errors.ts";
import { checkSyncRequest } from "./request-schema.ts";

const ROOM = "!a:test";

/** Every parameter of every stream, with values that are right. */
const VALID: Readonly<Record<string, readonly unknown[]>> = {
  typing: [{}],
  "typing.room_id": [ROOM, "room_list"],
  to_device: [{}],
  "to_device.limit": [0, -1, 5, 1e9],
  room_members: [{}],
  "room_members.room_id": [ROOM],
  "room_members.membership": [[], ["join"], ["join", "x"]],
  "room_members.p": [{}],
  "room_members.p.limit": [0, 7],
  "room_members.p.sort": ["by_pl", "x", [], ["by_name", "x"]],
  "room_members.p.since": ["1", ""],
  room: [{}],
  "room.room_id": [ROOM],
  "room.timeline_limit": [1],
  "room.types": [[], ["m.room.*"]],
  "room.not_types": [["*"]],
  "room.state": [
    "all",
    [],
    [
      ["m.room.name", ""],
      ["*", "*"],
    ],
  ],
  "room.room_member_limit": [0, 5],
  "room.room_member_sort": ["by_name", "x"],
  "room.earliest_timeline_event_ids": [[], ["$a"]],
  room_list: [{}],
  "room_list.p": [{}],
  "room_list.p.limit": [3],
  "room_list.p.sort": ["by_name", ["by_name", "by_recency"]],
  "room_list.p.since": ["1"],
  "room_list.state_events": [[], [["m.room.topic", ""]]],
  "room_list.spaces": [[], [ROOM]],
  "room_list.timeline_limit": [0],
  "room_list.lazy_load_members": [true, false],
  "room_list.track_notifications": [true, false],
  "room_list.filters": [{}],
  "room_list.filters.is_dm": [true],
  "room_list.filters.is_encrypted": [false],
  "room_list.filters.tags": [["m.favourite"]],
  "room_list.filters.not_tags": [[]],
  "room_list.filters.room_types": [[], [null, "m.space"]],
  "room_list.filters.not_room_types": [[null]],
  "room_list.filters.room_name_like": ["", "x"],
  "room_list.rooms": [false, true],
  invites: [{}],
  account_data: [{}],
  "account_data.global": [false],
  "account_data.rooms": ["*", "room_list", [], [ROOM]],
  receipts: [{}],
  "receipts.room_id": [ROOM],
  presence: [{}],
  e2ee: [{}],
};

const MANY: readonly unknown[] = [1, 1.5, true, "x", [1], [["a"]], [["a", "b", "c"]], [null], {}, [{}], "all", []];

/** Values of a kind that no alternative of the parameter has. */
function wrong(path: string, valid: readonly unknown[]): readonly unknown[] {
  const kinds = new Set(valid.map(kindOf));
  const different = MANY.filter((value) => !kinds.has(kindOf(value)));
  return WRONG[path] ? [...different, ...WRONG[path]] : different;
}

/** What is wrong although its kind is right. */
const WRONG: Readonly<Record<string, readonly unknown[]>> = {
  "to_device.limit": [1.5],
  "room_members.p.limit": [0.1],
  "room_list.p.limit": [1.5],
  "room_list.timeline_limit": [1.5],
  "room.timeline_limit": [2.5],
  "room.room_member_limit": [1.5],
  "room_members.membership": [[1]],
  "room_members.p.sort": [[1]],
  "room_list.p.sort": [[{}]],
  "room.types": [[1]],
  "room.not_types": [[null]],
  "room.state": ["some", [["a"]], [["a", "b", "c"]], [["a", 1]], ["a", "b"]],
  "room.earliest_timeline_event_ids": [[1]],
  "room_list.state_events": [[["a"]], ["ab"]],
  "room_list.spaces": [[1]],
  "room_list.filters.tags": [[1]],
  "room_list.filters.not_tags": [[null]],
  "room_list.filters.room_types": [[1]],
  "room_list.filters.not_room_types": [[{}]],
  "account_data.rooms": [[1]],
};

const kindOf = (value: unknown) => (Array.isArray(value) ? "array" : typeof value);

/** `{typing: {room_id: value}}` for `typing.room_id`. */
function bodyOf(path: string, value: unknown): Record<string, unknown> {
  return path.split(".").reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as Record<string, unknown>;
}

function refusal(body: unknown): MatrixError {
  try {
    checkSyncRequest(body);
  } catch (error) {
    if (error instanceof MatrixError) return error;
    throw error;
  }
  throw new Error(`was accepted: ${JSON.stringify(body)}`);
}

describe("the request body (D5)", () => {
  it.each(Object.entries(VALID))("D5: %s takes what it should, and null (D9)", (path, values) => {
    for (const value of [...values, null]) {
      const body = bodyOf(path, value);
      expect(checkSyncRequest(body)).toEqual(body);
    }
  });

  it.each(Object.entries(VALID))("D5: %s of a wrong type is 400 M_BAD_JSON that names it", (path, values) => {
    const bad = wrong(path, values);
    expect(bad.length).toBeGreaterThan(0);
    for (const value of bad) {
      const error = refusal(bodyOf(path, value));
      expect([error.status, error.errcode], JSON.stringify(value)).toEqual([400, "M_BAD_JSON"]);
      // A wrong element of a list is named with its place.
      expect(error.message.split(":")[0], JSON.stringify(value)).toMatch(new RegExp(`^${path.replaceAll(".", "\\.")}(\\.\\d+)*$`));
    }
  });

  it("D5: the body must be an object", () => {
    for (const body of [null, [], 1, "x", true]) {
      const error = refusal(body);
      expect([error.status, error.errcode, error.message], JSON.stringify(body)).toEqual([400, "M_BAD_JSON", "The body must be a JSON object"]);
    }
  });

  it("D5 B16: unknown keys and streams, and known ones in other spellings, are left out", () => {
    const body = {
      Typing: 1,
      TYPING: [],
      room_member: "x",
      typing: { room_id: ROOM, Room_id: 1, x: null },
      room_list: { p: { next: 1 }, filters: { is_DM: 1 } },
      initial_sync: "x",
      next: 7,
    };
    expect(checkSyncRequest(body)).toEqual({ typing: { room_id: ROOM }, room_list: { p: {}, filters: {} } });
  });

  it("D5: nothing is coerced or defaulted", () => {
    const body = { typing: {}, room_members: { p: {} } };
    expect(JSON.stringify(checkSyncRequest(body))).toBe('{"typing":{},"room_members":{"p":{}}}');
    expect(refusal({ to_device: { limit: "5" } }).errcode).toBe("M_BAD_JSON");
    expect(refusal({ room_list: { rooms: "false" } }).errcode).toBe("M_BAD_JSON");
  });

  it("D5: a key named __proto__ or constructor is a key like any other", () => {
    expect(checkSyncRequest(JSON.parse('{"__proto__":{"typing":1},"constructor":1,"typing":{"__proto__":1,"toString":2}}'))).toEqual({ typing: {} });
  });
});
