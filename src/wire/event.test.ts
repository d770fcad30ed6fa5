import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { CutEvent } from "./event.ts";
import { cutEvent, cutEventAt, eventText } from "./event.ts";
import type { RoomId } from "./ids.ts";
import { indexKey } from "./index-key.ts";

const NOW = 1_700_000_000_000;
const ROOM = "!room:example.org" as RoomId;
const MESSAGE = { event_id: "$1", type: "m.room.message", sender: "@alice:example.org", origin_server_ts: 1000, content: { body: "hi" } };

function cut(event: unknown): CutEvent {
  const result = cutEvent(typeof event === "string" ? event : JSON.stringify(event), NOW);
  if (result.kind === "malformed") throw new Error(result.reason);
  return result;
}

function reason(event: unknown): string | null {
  const result = cutEvent(typeof event === "string" ? event : JSON.stringify(event), NOW);
  return result.kind === "malformed" ? result.reason : null;
}

function join(event: CutEvent, now: number): unknown {
  return JSON.parse(eventText({ ...event, room_id: ROOM }, now));
}

describe("cutEvent", () => {
  test("cuts a message of the user's own device", () => {
    const event = cut({ ...MESSAGE, room_id: ROOM, unsigned: { age: 250, transaction_id: "m1", membership: "join" } });
    expect(event).toEqual({
      kind: "event",
      event_id: "$1",
      type: "m.room.message",
      state_key: null,
      sender: "@alice:example.org",
      ts: 1000,
      body: JSON.stringify(MESSAGE),
      content: { body: "hi" },
      unsigned: '{"membership":"join"}',
      age_ts: NOW - 250,
      txn_id: "m1",
      relations: null,
      relation: null,
      redacts: null,
      redacted_because: false,
      shared: null,
      sticky_until: null,
    });
  });

  test("M70: how long an event is sticky is by our clock, at most an hour, and goes down while it is here", () => {
    const sticky = (left: unknown, more = {}) => cut({ ...MESSAGE, unsigned: { msc4354_sticky_duration_ttl_ms: left, ...more } });
    const event = sticky(5000);
    expect(event).toMatchObject({ sticky_until: NOW + 5000, unsigned: null });
    expect(join(event, NOW + 2000)).toMatchObject({ unsigned: { msc4354_sticky_duration_ttl_ms: 3000 } });
    for (const at of [NOW + 5000, NOW + 6000]) expect(join(event, at)).not.toHaveProperty("unsigned");
    expect(sticky(1e300).sticky_until).toBe(NOW + 3_600_000);
    expect(sticky(5000, { redacted_because: {} }).sticky_until).toBeNull();
    for (const none of [0, -1, null, "5000", {}]) expect(sticky(none)).toMatchObject({ sticky_until: null, unsigned: null });
  });

  test("T7: cuts what the homeserver bundled, and says what the event relates to; reactions count for nothing", () => {
    const bundled = '{"m.thread":{"count":1.0}}';
    const text = JSON.stringify({ ...MESSAGE, unsigned: { x: 1, "m.relations": "BUNDLE" } }).replace('"BUNDLE"', bundled);
    expect(cut(text)).toMatchObject({ unsigned: '{"x":1}', relations: bundled });
    expect(cut({ ...MESSAGE, unsigned: { "m.relations": [] } })).toMatchObject({ unsigned: null, relations: null });
    const relationOf = (relation: unknown) => cut({ ...MESSAGE, content: { "m.relates_to": relation } }).relation;
    expect(relationOf({ rel_type: "m.thread", event_id: "$2", is_falling_back: true })).toEqual({ rel_type: "m.thread", event_id: "$2" });
    for (const other of [{ rel_type: "m.annotation", event_id: "$2" }, { rel_type: "m.thread" }, { rel_type: 1, event_id: "$2" }, "$2", null]) {
      expect(relationOf(other)).toBeNull();
    }
  });

  test("keeps the bytes of everything else", () => {
    const text =
      '{ "content":{"a":1.0,"b":1e2,"c":12345678901234567890,"d":"\\u0000\\ud800 é"},"event_id":"$1",\n"type":"t","sender":"@a:b","z":{"unsigned":1} }';
    expect(cut(text).body).toBe(text);
    expect(cut(` ${text.replace("{ ", '{ "unsigned":{"age":1}, ')}`).body).toBe(text);
  });

  test("recognises a state event by its state key, empty or not", () => {
    expect(cut({ ...MESSAGE, state_key: "" }).state_key).toBe("");
    expect(cut({ ...MESSAGE, state_key: "@b:c" }).state_key).toBe("@b:c");
    expect(cut(MESSAGE).state_key).toBeNull();
  });

  test.each([
    ["event_id", undefined],
    ["event_id", 1],
    ["event_id", ""],
    ["type", undefined],
    ["type", null],
    ["sender", undefined],
    ["sender", {}],
    ["sender", ""],
    ["state_key", null],
    ["state_key", 5],
  ])("is malformed with %s %j", (field, value) => {
    expect(reason({ ...MESSAGE, [field]: value })).toContain(field);
  });

  test.each([
    ["event_id", `$${"e".repeat(254)}`],
    ["sender", `@${"é".repeat(127)}`],
    ["type", ""],
    ["type", "€".repeat(85)],
    ["state_key", "é".repeat(127)],
  ])("takes a %s of up to 255 bytes as it is", (field, value) => {
    expect(cut({ ...MESSAGE, [field]: value })).toHaveProperty(field, value);
  });

  test.each([
    ["event_id", "$\0"],
    ["event_id", "$\ud800"],
    ["event_id", `$${"é".repeat(128)}`],
    ["type", "a\0"],
    ["type", "t".repeat(256)],
    ["sender", "@\udc00:b"],
    ["sender", `@${"€".repeat(85)}`],
    ["state_key", "\0"],
    ["state_key", "é".repeat(128)],
  ])("N2: files a %s %j under its index key, and leaves the body as it is", (field, value) => {
    const event = cut({ ...MESSAGE, [field]: value });
    expect(event).toHaveProperty(field, indexKey(value));
    expect(JSON.parse(event.body)).toHaveProperty(field, value);
  });

  test.each(["[]", '"x"', "null", "5"])("is malformed as %s", (text) => {
    expect(reason(text)).toBe("not an object");
  });

  test.each(["", "{", '{"event_id":"$1"', "{} x", "x"])("is malformed as %j, which is not JSON", (text) => {
    expect(reason(text)).toBe("not JSON");
  });

  test.each(["", ',"unsigned":{"age":5}'])("has U+FFFD for a lone surrogate in its raw text, which no encoding keeps (%j)", (more) => {
    const text = `{"event_id":"$1","type":"t","sender":"@a:b","x":"\ud800"`;
    expect(cut(`${text}${more}}`).body).toBe(`{"event_id":"$1","type":"t","sender":"@a:b","x":"\ufffd"}`);
  });

  test.each([undefined, null, "5", 1.5, 2 ** 60, -(2 ** 60)])("takes now for an origin_server_ts of %j, and leaves the body", (ts) => {
    const event = cut({ ...MESSAGE, origin_server_ts: ts });
    expect(event.ts).toBe(NOW);
    expect(event.body).toBe(JSON.stringify({ ...MESSAGE, origin_server_ts: ts }));
  });

  test("takes an origin_server_ts before 1970", () => {
    expect(cut({ ...MESSAGE, origin_server_ts: -5 }).ts).toBe(-5);
  });

  test.each([undefined, null, [], "x", 5])("treats content %j as absent", (content) => {
    expect(cut({ ...MESSAGE, content }).content).toEqual({});
  });

  test.each([[{}], [null], [[]], ["x"], [{ age: 5 }], [{ age: "5", transaction_id: 7 }]])("has no unsigned of %j", (unsigned) => {
    expect(cut({ ...MESSAGE, unsigned })).toMatchObject({ unsigned: null, txn_id: null, body: JSON.stringify(MESSAGE) });
  });

  test.each([["5"], [null], [1e300], [true]])("does not know when an event of age %j came", (age) => {
    expect(cut({ ...MESSAGE, unsigned: { age } }).age_ts).toBeNull();
  });

  test("leaves out a transaction id that cannot be stored", () => {
    expect(cut({ ...MESSAGE, unsigned: { transaction_id: "a\0" } }).txn_id).toBeNull();
  });

  test("recognises that the homeserver has redacted it", () => {
    const because = { event_id: "$r", type: "m.room.redaction" };
    const event = cut({ ...MESSAGE, unsigned: { age: 1, redacted_by: "$r", redacted_because: because } });
    expect(event.redacted_because).toBe(true);
    expect(event.unsigned).toBe(JSON.stringify({ redacted_by: "$r", redacted_because: because }));
    expect(cut({ ...MESSAGE, unsigned: { redacted_because: null } }).redacted_because).toBe(false);
  });

  test.each([
    ["top level", { redacts: "$x" }, "$x"],
    ["content", { content: { redacts: "$x" } }, "$x"],
    ["both", { redacts: "$x", content: { redacts: "$x" } }, "$x"],
    ["both, in disagreement", { redacts: "$x", content: { redacts: "$y" } }, null],
    ["neither", {}, null],
    ["one that is no id", { redacts: 5, content: { redacts: "$y" } }, "$y"],
  ])("names what a redaction redacts: %s", (_, fields, expected) => {
    expect(cut({ ...MESSAGE, type: "m.room.redaction", ...fields }).redacts).toBe(expected);
  });

  test("a message redacts nothing", () => {
    expect(cut({ ...MESSAGE, redacts: "$x", content: { redacts: "$x" } }).redacts).toBeNull();
  });

  test("is not misled by members of Object.prototype", () => {
    expect(reason('{"__proto__":{"event_id":"$1"},"type":"t","sender":"@a:b"}')).toContain("event_id");
    const event = cut('{"event_id":"$1","type":"t","sender":"@a:b","content":{"__proto__":{"x":1}}}');
    expect(Object.keys(event.content)).toEqual(["__proto__"]);
  });
});

test("cutEventAt finds the end of the event in a longer text", () => {
  const text = `[${JSON.stringify(MESSAGE)}, 5 ,{}]`;
  const first = cutEventAt(text, 1, NOW);
  expect(first.event.kind).toBe("event");
  expect(text.slice(first.end)).toBe(", 5 ,{}]");
  const second = cutEventAt(text, first.end + 1, NOW);
  expect(second.event.kind).toBe("malformed");
  expect(text.slice(second.end)).toBe(" ,{}]");
});

describe("eventText", () => {
  test("adds the time since to the age, never below 0", () => {
    const event = cut({ ...MESSAGE, unsigned: { age: 250 } });
    expect(join(event, NOW + 1000)).toEqual({ ...MESSAGE, room_id: ROOM, unsigned: { age: 1250 } });
    expect(join(event, NOW - 1000)).toMatchObject({ unsigned: { age: 0 } });
  });

  test("has no unsigned if nothing is known", () => {
    expect(join(cut(MESSAGE), NOW)).toEqual({ ...MESSAGE, room_id: ROOM });
  });

  test("escapes what it inserts", () => {
    const room = '!"\\:b' as RoomId;
    const parts = { body: '{"a":1}', room_id: room, unsigned: null, age_ts: null, txn_id: '"\\' };
    expect(JSON.parse(eventText(parts, NOW))).toEqual({ a: 1, room_id: room, unsigned: { transaction_id: '"\\' } });
  });

  test("restores what was cut, for any event", () => {
    const unsigned = fc.record(
      { age: fc.nat(), transaction_id: fc.string(), prev_content: fc.jsonValue(), "m.relations": fc.dictionary(fc.string(), fc.jsonValue()) },
      { requiredKeys: [] },
    );
    const others = fc.dictionary(fc.string(), fc.jsonValue());
    fc.assert(
      fc.property(others, fc.option(unsigned, { nil: undefined }), fc.nat(), (extra, extraUnsigned, later) => {
        const original = JSON.parse(JSON.stringify({ ...extra, ...MESSAGE, state_key: "k", unsigned: extraUnsigned }));
        const event = cut({ room_id: "!elsewhere:b", ...original });
        const age = original.unsigned?.age === undefined ? {} : { age: original.unsigned.age + later };
        const expected = { ...original, room_id: ROOM, unsigned: { ...original.unsigned, ...age } };
        if (Object.keys(expected.unsigned).length === 0) delete expected.unsigned;
        expect(join(event, NOW + later)).toEqual(expected);
      }),
    );
  });

  test("inserts each part without the others", () => {
    for (const unsigned of [null, '{"x":1.0}']) {
      for (const age_ts of [null, NOW]) {
        for (const txn_id of [null, "t"]) {
          const text = eventText({ body: '{"a":1.0}', room_id: ROOM, unsigned, age_ts, txn_id }, NOW);
          const members = [unsigned && '"x":1.0', age_ts && '"age":0', txn_id && '"transaction_id":"t"'].filter(Boolean).join(",");
          expect(text).toBe(`{"a":1.0,"room_id":"${ROOM}"${members === "" ? "" : `,"unsigned":{${members}}`}}`);
        }
      }
    }
  });
});
