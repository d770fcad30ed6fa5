import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { JsonSyntaxError } from "./json-scan.ts";
import { pruneEvent } from "./redact.ts";

const VERSIONS = ["1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12"] as const;
type RoomVersion = (typeof VERSIONS)[number];

const from = (first: number): readonly RoomVersion[] => VERSIONS.filter((version) => Number(version) >= first);
const upTo = (last: number): readonly RoomVersion[] => VERSIONS.filter((version) => Number(version) <= last);

function prune(event: object, version: string | undefined): Record<string, unknown> {
  const { type } = event as { type: string };
  return JSON.parse(pruneEvent(JSON.stringify(event), type, version)) as Record<string, unknown>;
}

const content = (type: string, value: object, version: string | undefined): unknown => prune({ type, content: value }, version)["content"];

/** Type, content key, value, the versions that keep it, and what they keep if that is not all of it. */
type RedactionCase = [type: string, key: string, value: unknown, keptIn: readonly RoomVersion[], kept?: unknown];

/** Every content key that any version keeps, and some that none does. */
const CASES: RedactionCase[] = [
  ["m.room.member", "membership", "join", VERSIONS],
  ["m.room.member", "displayname", "Bob", []],
  ["m.room.member", "join_authorised_via_users_server", "@a:b", from(9)],
  ["m.room.member", "third_party_invite", { signed: { mxid: "@a:b" }, display_name: "B" }, from(11), { signed: { mxid: "@a:b" } }],
  ["m.room.create", "creator", "@a:b", VERSIONS],
  ["m.room.create", "room_version", "9", from(11)],
  ["m.room.create", "additional_creators", ["@c:d"], from(11)],
  ["m.room.join_rules", "join_rule", "public", VERSIONS],
  ["m.room.join_rules", "allow", [{ type: "x" }], from(8)],
  ["m.room.join_rules", "other", 1, []],
  ...["ban", "events", "events_default", "kick", "redact", "state_default", "users", "users_default"].map((key): RedactionCase => [
    "m.room.power_levels",
    key,
    { a: 1 },
    VERSIONS,
  ]),
  ["m.room.power_levels", "invite", 50, from(11)],
  ["m.room.power_levels", "notifications", { room: 5 }, []],
  ["m.room.aliases", "aliases", ["#a:b"], upTo(5)],
  ["m.room.history_visibility", "history_visibility", "shared", VERSIONS],
  ["m.room.redaction", "redacts", "$x", from(11)],
  ["m.room.redaction", "reason", "spam", []],
  ["m.room.message", "body", "secret", []],
  ["m.room.name", "name", "secret", []],
  ["m.room.encryption", "algorithm", "m.megolm", []],
];

describe("content", () => {
  for (const version of VERSIONS) {
    test.each<RedactionCase>(CASES)(`of %s in room version ${version}: %s`, (type, key, value, keptIn, kept = value) => {
      expect(content(type, { junk: 1, [key]: value, more: {} }, version)).toEqual(
        type === "m.room.create" && Number(version) >= 11 ? { junk: 1, [key]: value, more: {} } : keptIn.includes(version) ? { [key]: kept } : {},
      );
    });
  }

  test.each([undefined, "13", "org.example.custom", "0", "011", ""])("in unknown room version %j is kept as in the newest", (version) => {
    for (const [type, key, value] of CASES) expect(content(type, { [key]: value }, version)).toEqual(content(type, { [key]: value }, "12"));
  });

  test.each([undefined, null, [], "x", 5])("that is %j becomes an empty object", (value) => {
    for (const type of ["m.room.message", "m.room.create", "m.room.member"]) {
      expect(prune({ event_id: "$1", type, content: value }, "11")).toEqual({ event_id: "$1", type, content: {} });
    }
    expect(pruneEvent("{}", "m.room.message", "1")).toBe('{"content":{}}');
  });

  test("loses a third party invite that is not an object", () => {
    expect(content("m.room.member", { membership: "join", third_party_invite: "x" }, "11")).toEqual({ membership: "join" });
  });
});

describe("the top level", () => {
  const always = {
    event_id: "$1",
    type: "m.room.message",
    sender: "@a:b",
    state_key: "",
    hashes: {},
    signatures: {},
    depth: 5,
    prev_events: [],
    auth_events: [],
    origin_server_ts: 1,
  };
  const older = { origin: "b", membership: "join", prev_state: [] };
  const never = { redacts: "$2", unsigned: { age: 1 }, "org.example": 1, user_id: "@a:b", age: 5 };

  test.each(VERSIONS)("in room version %s", (version) => {
    expect(prune({ ...never, ...older, ...always, content: { body: "x" } }, version)).toEqual({
      ...always,
      ...(Number(version) < 11 ? older : {}),
      content: {},
    });
  });
});

test("what remains keeps its bytes", () => {
  const body = '{"content" : {"users":{"@a:b":1e2,"@c:d": 100.0}, "x":1}, "type":"m.room.power_levels","depth":12345678901234567890}';
  expect(pruneEvent(body, "m.room.power_levels", "10")).toBe(
    '{"content":{"users":{"@a:b":1e2,"@c:d": 100.0}},"type":"m.room.power_levels","depth":12345678901234567890}',
  );
});

test("of duplicates the last counts, so that nothing can hide behind one", () => {
  const body = '{"content":{"body":"a"},"type":"m.room.member","content":{"membership":"join","membership":"leave"}}';
  expect(pruneEvent(body, "m.room.member", "11")).toBe('{"type":"m.room.member","content":{"membership":"leave"}}');
});

test("pruning twice is the same as pruning once, for any event", () => {
  const keys = fc.constantFrom("content", "membership", "signed", "third_party_invite", "creator", "type", "unsigned", "__proto__", "constructor");
  const anything = fc.letrec((tie) => ({
    value: fc.oneof({ depthSize: "small" }, fc.jsonValue({ maxDepth: 1 }), fc.dictionary(keys, tie("value"))),
  })).value;
  const types = fc.constantFrom(...new Set(CASES.map(([type]) => type)));
  fc.assert(
    fc.property(fc.dictionary(keys, anything), types, fc.constantFrom(...VERSIONS), (event, type, version) => {
      const once = pruneEvent(JSON.stringify(event), type, version);
      expect(pruneEvent(once, type, version)).toBe(once);
      expect(typeof (JSON.parse(once) as { content: unknown }).content).toBe("object");
    }),
  );
});

test("a text that is not an object is refused", () => {
  expect(() => pruneEvent("[]", "m.room.message", "1")).toThrow(JsonSyntaxError);
});
