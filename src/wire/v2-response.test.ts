import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { pathsOf, replaced } from "../../test/support/json-paths.ts";
import type { RoomId } from "./ids.ts";
import { indexKey } from "./index-key.ts";
import type { V2JoinedRoom, V2Response } from "./v2-response.ts";
import { BadResponse, cutResponse } from "./v2-response.ts";

const NOW = 1_700_000_000_000;
const ROOM = "!a:example.org" as RoomId;

const message = (id: string, more: object = {}): object => ({
  event_id: id,
  type: "m.room.message",
  sender: "@bob:example.org",
  origin_server_ts: 5,
  content: { body: id },
  unsigned: { age: 1 },
  ...more,
});

function cut(response: unknown): V2Response {
  return cutResponse(typeof response === "string" ? response : JSON.stringify(response), NOW);
}

/** Cuts a response with one joined room. */
function cutRoom(room: unknown): { room: V2JoinedRoom | undefined; skipped: readonly { where: string; reason: string }[] } {
  const response = cut({ next_batch: "s1", rooms: { join: { [ROOM]: room } } });
  return { room: response.join.get(ROOM), skipped: response.skipped };
}

const ids = (events: readonly { event_id: string }[]): string[] => events.map((event) => event.event_id);

/** What a homeserver really sends, with content in every part. */
const FULL = {
  next_batch: "s72_5",
  account_data: {
    events: [
      { type: "m.direct", content: { "@bob:example.org": [ROOM] } },
      { type: "m.push_rules", content: { global: {} } },
    ],
  },
  presence: { events: [{ type: "m.presence", sender: "@bob:example.org", content: { presence: "online" } }] },
  to_device: {
    events: [
      { type: "m.room.encrypted", sender: "@bob:example.org", content: { ciphertext: {} } },
      { type: "m.dummy", sender: "@c:d", content: {} },
    ],
  },
  device_lists: { changed: ["@bob:example.org"], left: ["@eve:example.org"] },
  device_one_time_keys_count: { signed_curve25519: 50 },
  device_unused_fallback_key_types: ["signed_curve25519"],
  "org.matrix.msc2732.device_unused_fallback_key_types": ["old"],
  groups: { join: {} },
  rooms: {
    join: {
      [ROOM]: {
        timeline: { events: [message("$3"), message("$4")], prev_batch: "t1", limited: true },
        state: {
          events: [message("$1", { type: "m.room.create", state_key: "" }), message("$2", { type: "m.room.member", state_key: "@bob:example.org" })],
        },
        account_data: { events: [{ type: "m.tag", content: { tags: { "m.favourite": {} } } }] },
        ephemeral: {
          events: [
            { type: "m.typing", content: { user_ids: ["@bob:example.org"] } },
            {
              type: "m.receipt",
              content: { $3: { "m.read": { "@bob:example.org": { ts: 7, thread_id: "main" } }, "m.read.private": { "@me:example.org": { ts: 8 } } } },
            },
          ],
        },
        unread_notifications: { notification_count: 3, highlight_count: 1 },
        unread_thread_notifications: {},
        summary: { "m.heroes": ["@bob:example.org"], "m.joined_member_count": 2, "m.invited_member_count": 0 },
      },
    },
    invite: {
      "!i:b": {
        invite_state: {
          events: [{ type: "m.room.member", state_key: "@me:example.org", sender: "@bob:example.org", content: { membership: "invite" } }],
        },
      },
    },
    knock: { "!k:b": { knock_state: { events: [{ type: "m.room.name", state_key: "", sender: "@bob:example.org", content: { name: "K" } }] } } },
    leave: {
      "!l:b": {
        timeline: { events: [message("$9", { type: "m.room.member", state_key: "@me:example.org" })], prev_batch: "t9", limited: false },
        state: { events: [] },
      },
    },
  },
};

describe("a whole response", () => {
  const response = cut(FULL);

  test("has nothing left out", () => {
    expect(response.skipped).toEqual([]);
    expect(response.next_batch).toBe("s72_5");
  });

  test("has account data, presence and device data as they came", () => {
    expect(response.accountData).toEqual(
      FULL.account_data.events.map((item) => ({ type: item.type, body: JSON.stringify(item), content: item.content })),
    );
    expect(response.presence).toEqual([{ user_id: "@bob:example.org", body: JSON.stringify(FULL.presence.events[0]) }]);
    expect(response.toDevice).toEqual(FULL.to_device.events.map((item) => JSON.stringify(item)));
    expect(response.deviceLists).toEqual({ changed: ["@bob:example.org"], left: ["@eve:example.org"] });
    expect(response.oneTimeKeys).toBe('{"signed_curve25519":50}');
    expect(response.fallbackKeys).toBe('["signed_curve25519"]');
  });

  test("has the joined room's parts", () => {
    const room = response.join.get(ROOM);
    expect(ids(room?.timeline ?? [])).toEqual(["$3", "$4"]);
    expect(ids(room?.state ?? [])).toEqual(["$1", "$2"]);
    expect(room?.timeline[0]).toMatchObject({ kind: "event", age_ts: NOW - 1, unsigned: null, ts: 5 });
    expect(room).toMatchObject({
      limited: true,
      prev_batch: "t1",
      ephemeral: {
        typing: ["@bob:example.org"],
        receipts: [
          { event_id: "$3", kind: "m.read", user_id: "@bob:example.org", thread_id: "main", data: '{"ts":7,"thread_id":"main"}' },
          { event_id: "$3", kind: "m.read.private", user_id: "@me:example.org", thread_id: "", data: '{"ts":8}' },
        ],
      },
      accountData: [{ type: "m.tag", body: '{"type":"m.tag","content":{"tags":{"m.favourite":{}}}}', content: { tags: { "m.favourite": {} } } }],
      summary: { heroes: ["@bob:example.org"], joined: 2, invited: 0 },
      unread: { notifications: 3, highlights: 1 },
    });
  });

  test("has the other rooms", () => {
    expect(response.invite.get("!i:b" as RoomId)).toEqual({
      body: JSON.stringify(FULL.rooms.invite["!i:b"].invite_state),
      events: [{ type: "m.room.member", state_key: "@me:example.org", sender: "@bob:example.org", content: { membership: "invite" } }],
    });
    expect(response.knock.get("!k:b" as RoomId)).toEqual({
      body: JSON.stringify(FULL.rooms.knock["!k:b"].knock_state),
      events: [{ type: "m.room.name", state_key: "", sender: "@bob:example.org", content: { name: "K" } }],
    });
    const left = response.leave.get("!l:b" as RoomId);
    expect(ids(left?.timeline ?? [])).toEqual(["$9"]);
    expect(left).toMatchObject({ prev_batch: "t9", limited: false, ephemeral: { typing: null, receipts: [] } });
  });

  test("truncated anywhere it is not a response", () => {
    const text = JSON.stringify(FULL);
    fc.assert(
      fc.property(fc.nat(text.length - 1), (length) => {
        expect(() => cutResponse(text.slice(0, length), NOW)).toThrow(BadResponse);
      }),
    );
  });
});

describe("a bad response", () => {
  test.each([
    "",
    "{}",
    "[]",
    '"s1"',
    "null",
    "<html>",
    '{"next_batch":1}',
    '{"next_batch":null}',
    '{"next_batch":"s\\u0000"}',
    '{"next_batch":"s1"} x',
    '{"next_batch":"s1",}',
  ])("%j is refused as a whole", (text) => {
    expect(() => cutResponse(text, NOW)).toThrow(BadResponse);
  });
});

describe("the least response", () => {
  test("has nothing in it", () => {
    expect(cut(' {"next_batch":""}\n')).toEqual({
      next_batch: "",
      accountData: [],
      presence: [],
      profiles: new Map(),
      toDevice: [],
      deviceLists: { changed: [], left: [] },
      oneTimeKeys: null,
      fallbackKeys: null,
      join: new Map(),
      leave: new Map(),
      invite: new Map(),
      knock: new Map(),
      skipped: [],
    });
  });

  test("has a room without any content", () => {
    expect(cutRoom({})).toEqual({
      room: {
        state: [],
        sticky: [],
        timeline: [],
        current: null,
        limited: false,
        prev_batch: null,
        ephemeral: { typing: null, receipts: [] },
        accountData: [],
        summary: { heroes: null, joined: null, invited: null },
        unread: { notifications: null, highlights: null },
      },
      skipped: [],
    });
  });

  test("has an invite without state as an empty one", () => {
    const empty = { body: '{"events":[]}', events: [] };
    const response = cut({
      next_batch: "s",
      rooms: { invite: { "!i:b": {}, "!j:b": { invite_state: [] } }, knock: { "!k:b": { knock_state: { events: 5 } } } },
    });
    expect([...response.invite.values(), ...response.knock.values()]).toEqual([empty, empty, empty]);
    expect(response.skipped.map((part) => part.where)).toEqual(["rooms.invite.!j:b.invite_state", "rooms.knock.!k:b.knock_state"]);
  });
});

describe("wrong types lose only their part", () => {
  /** Every part of FULL, replaced by every wrong value: the response is still read, and to-device messages are kept. */
  test("anywhere in the response", () => {
    const paths = pathsOf(FULL).filter(([first]) => first !== "next_batch" && first !== "to_device");
    fc.assert(
      fc.property(
        fc.constantFrom(...paths),
        fc.constantFrom(null, true, 5, "x", [], {}, [null], [[]], { events: 5 }, { events: [5] }),
        (path, wrong) => {
          const response = cut(replaced(FULL, path, wrong));
          expect(response.next_batch).toBe("s72_5");
          expect(response.toDevice).toEqual(FULL.to_device.events.map((item) => JSON.stringify(item)));
          if (path[0] !== "rooms") expect(ids(response.join.get(ROOM)?.timeline ?? [])).toEqual(["$3", "$4"]);
          if (path[0] === "rooms" && path[1] !== "join" && path.length > 1) expect(response.join.get(ROOM)).toEqual(cut(FULL).join.get(ROOM));
        },
      ),
      { numRuns: 2000 },
    );
  });

  test("rooms as a list", () => {
    const response = cut({ ...FULL, rooms: [] });
    expect(response.join.size).toBe(0);
    expect(response.skipped).toEqual([{ where: "rooms", reason: "not an object" }]);
  });

  test("one room of several", () => {
    const response = cut({ next_batch: "s", rooms: { join: { "!x:b": "gone", [ROOM]: { timeline: { events: [message("$1")] } } } } });
    expect([...response.join.keys()]).toEqual([ROOM]);
    expect(response.skipped).toEqual([{ where: "rooms.join.!x:b", reason: "not an object" }]);
  });

  test("a room id that cannot be stored", () => {
    const response = cut({ next_batch: "s", rooms: { join: { "!\0": {}, [`!${"x".repeat(255)}`]: {}, "": {}, [ROOM]: {} } } });
    expect([...response.join.keys()]).toEqual([ROOM]);
    expect(response.skipped).toHaveLength(3);
  });

  test("the timeline's events as a string, beside good state", () => {
    const { room, skipped } = cutRoom({
      timeline: { events: "x", limited: true, prev_batch: "p" },
      state: { events: [message("$1", { state_key: "" })] },
    });
    expect(room).toMatchObject({ timeline: [], limited: true, prev_batch: "p" });
    expect(ids(room?.state ?? [])).toEqual(["$1"]);
    expect(skipped).toEqual([{ where: "rooms.join.!a:example.org.timeline.events", reason: "not a list" }]);
  });

  test("a malformed event among good ones", () => {
    const { room, skipped } = cutRoom({ timeline: { events: [message("$1"), message(""), 5, message("$3")] } });
    expect(ids(room?.timeline ?? [])).toEqual(["$1", "$3"]);
    expect(skipped.map((part) => part.where)).toEqual([1, 2].map((i) => `rooms.join.!a:example.org.timeline.events[${i}]`));
  });

  test.each([-1, 1.5, "3", 2 ** 60])("a count of %j is unknown", (count) => {
    const { room, skipped } = cutRoom({
      unread_notifications: { notification_count: count, highlight_count: 0 },
      summary: { "m.joined_member_count": count },
    });
    expect(room).toMatchObject({ unread: { notifications: null, highlights: 0 }, summary: { joined: null } });
    expect(skipped).toHaveLength(2);
  });

  test("a count of null only means unknown", () => {
    const { room, skipped } = cutRoom({ unread_notifications: { notification_count: null } });
    expect(room?.unread.notifications).toBeNull();
    expect(skipped).toEqual([]);
  });

  test.each([5, "t\0", "t\ud800", null])("limited of another type and a prev_batch of %j", (prevBatch) => {
    expect(cutRoom({ timeline: { limited: "true", prev_batch: prevBatch, events: [] } }).room).toMatchObject({ limited: false, prev_batch: null });
  });

  test("account data without a type", () => {
    const types = [undefined, 5, ""];
    const response = cut({ next_batch: "s", account_data: { events: types.map((type) => ({ type, content: 5 })) } });
    expect(response.accountData.map(({ type, content }) => [type, content])).toEqual([["", {}]]);
    expect(response.skipped.map((part) => part.where)).toEqual([0, 1].map((i) => `account_data.events[${i}]`));
  });

  test("N2: account data of a type of any length is stored under the index key of its type", () => {
    const types = ["t\0", "\ud800", "t".repeat(256), "t".repeat(5000)];
    const response = cut({ next_batch: "s", account_data: { events: types.map((type) => ({ type, content: 5 })) } });
    expect(response.accountData.map(({ type }) => type)).toEqual(types.map(indexKey));
    expect(response.accountData.map(({ body }) => (JSON.parse(body) as { type: string }).type)).toEqual(types);
    expect(response.skipped).toEqual([]);
  });

  test("an ephemeral event of an unknown type, or without content", () => {
    const { skipped } = cutRoom({ ephemeral: { events: [{ type: "org.example", content: {} }, { type: "m.typing" }] } });
    expect(skipped.map((part) => part.reason)).toEqual(["unknown type", "no content"]);
  });
});

describe("doubles", () => {
  test("in a timeline: the first one stays (B36)", () => {
    const { room } = cutRoom({ timeline: { events: [message("$1", { content: { n: 1 } }), message("$2"), message("$1", { content: { n: 2 } })] } });
    expect(room?.timeline.map((event) => [event.event_id, event.content])).toEqual([
      ["$1", { n: 1 }],
      ["$2", { body: "$2" }],
    ]);
  });

  test("in state and timeline: it belongs to the timeline, whichever comes first in the text", () => {
    const both = message("$1", { state_key: "" });
    const timeline = { events: [both] };
    const state = { events: [both, message("$0", { state_key: "" })] };
    for (const { room } of [cutRoom({ timeline, state }), cutRoom({ state, timeline })]) {
      expect(ids(room?.timeline ?? [])).toEqual(["$1"]);
      expect(ids(room?.state ?? [])).toEqual(["$0"]);
    }
  });

  test("of account data, presence and device list entries", () => {
    const item = (n: number): object => ({ type: "t", sender: "@a:b", content: { n } });
    const events = [item(1), item(2)];
    const response = cut({ next_batch: "s", account_data: { events }, presence: { events }, device_lists: { changed: ["@a:b", "@a:b"] } });
    expect(response.accountData.map((data) => data.content)).toEqual([{ n: 2 }]);
    expect(response.presence.map((presence) => presence.body)).toEqual([JSON.stringify(item(2))]);
    expect(response.deviceLists.changed).toEqual(["@a:b"]);
  });

  test("equal to-device messages are not duplicates: nothing is merged", () => {
    const text = '{ "type":"m.dummy","content":{"n":1.0} }';
    expect(cut(`{"to_device":{"events":[${text},${text}]},"next_batch":"s"}`).toDevice).toEqual([text, text]);
  });
});

test("an event of the state block without a state key is not state", () => {
  const { room, skipped } = cutRoom({ state: { events: [message("$1"), message("$2", { state_key: "" })] } });
  expect(ids(room?.state ?? [])).toEqual(["$2"]);
  expect(skipped).toEqual([{ where: "rooms.join.!a:example.org.state.events[0]", reason: "no state_key" }]);
});

test("an escaped key is the key that it stands for", () => {
  const { join } = cut(`{"next\\u005fbatch":"s","rooms":{"jo\\u0069n":{"!\\u0061:example.org":{}}}}`);
  expect([...join.keys()]).toEqual([ROOM]);
});

test("fallback key types under their old name count if the new one is missing", () => {
  expect(cut({ next_batch: "s", "org.matrix.msc2732.device_unused_fallback_key_types": ["a"] }).fallbackKeys).toBe('["a"]');
});
