import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ev, type Json, type MatrixEvent, newRoom, type RoomParts, v2, type V2Parts } from "../support/fake-homeserver.ts";
import { ids } from "../support/rooms.ts";
import { forgetRoom } from "../../src/store/forget.ts";
import type { AccountNo, RoomId } from "../../src/wire/ids.ts";
import { startV3, type V3Client, type V3Fixture } from "../support/v3.ts";

const ALICE = "@alice:test";
const BOB = "@bob:test";
let t: V3Fixture;
let count = 0;

beforeAll(async () => {
  t = await startV3();
});
afterAll(() => t.stop());

/** A new user with these joined rooms. */
function user(join: Record<string, RoomParts>, more: V2Parts = {}): V3Client & { me: string } {
  count += 1;
  const me = `@me${count}:test`;
  return Object.assign(t.login(me, "PHONE", v2({ join, ...more })), { me });
}

const room = (name: string | null, parts: RoomParts = {}): RoomParts => ({
  state: [...newRoom(ALICE), ...(name === null ? [] : [ev.name(ALICE, name)])],
  timeline: [ev.message(ALICE)],
  ...parts,
});
const roomIds = (rooms: Json[]) => rooms.map((one) => one["room_id"]);
const list = async (client: V3Client, params: Json = {}) => (await client.sync({ room_list: params }))["room_list"];

describe("entries", () => {
  it("S5 R15: what a room shows, and the defaults that were negotiated", async () => {
    const last = ev.message(BOB, "newest");
    const client = user({
      "!a:test": {
        state: [
          ...newRoom(ALICE),
          ev.name(ALICE, "Room A"),
          ev.member(BOB),
          ev.encryption(ALICE),
          ev.state("m.room.avatar", "", ALICE, { url: "mxc://test/a" }),
        ],
        timeline: [ev.message(ALICE, "older"), last],
        prev_batch: "pa",
        summary: { "m.heroes": [ALICE], "m.joined_member_count": 3, "m.invited_member_count": 1 },
        unread: { notification_count: 4, highlight_count: 2 },
        account_data: [{ type: "m.tag", content: { tags: { "m.favourite": { order: 0.5 } } } }],
      },
    });
    const answer = await list(client);
    expect(answer).toMatchObject({ count: 1, p: { limit: 20, sort: ["by_recency"] } });
    expect(answer.p).not.toHaveProperty("next");
    const [sent] = answer.rooms;
    expect(sent).toMatchObject({
      room_id: "!a:test",
      name: "Room A",
      avatar: "mxc://test/a",
      heroes: [{ user_id: ALICE }],
      is_dm: false,
      is_encrypted: true,
      joined_count: 3,
      invited_count: 1,
      notification_count: 4,
      highlight_count: 2,
      recency: last.origin_server_ts,
      limited: true,
      prev_batch: expect.any(String),
      tags: { "m.favourite": { order: 0.5 } },
    });
    expect(ids(sent.timeline)).toEqual([last.event_id]);
    expect(sent.timeline[0].room_id).toBe("!a:test");
  });

  it("S5: state_events: pairs, `*` as key; by type, then key, lazy members last", async () => {
    const client = user({
      "!a:test": {
        state: [...newRoom(ALICE), ev.topic(ALICE, "t"), ev.state("im.w", "b", ALICE, {}), ev.state("im.w", "a", ALICE, {}), ev.member(BOB)],
        timeline: [ev.message(BOB)],
        summary: { "m.heroes": [ALICE] },
      },
    });
    const sent = (events: MatrixEvent[]) => events.map((event) => `${event.type} ${event.state_key}`);
    const pairs = [
      ["m.room.topic", ""],
      ["im.w", "*"],
    ];
    const lazy = await list(client, { state_events: pairs });
    expect(sent(lazy.rooms[0].state_events).slice(0, 3)).toEqual(["im.w a", "im.w b", "m.room.topic "]);
    expect(sent(lazy.rooms[0].state_events).slice(3).toSorted()).toEqual([`m.room.member ${ALICE}`, `m.room.member ${BOB}`]);
    expect(sent((await list(client, { state_events: pairs, lazy_load_members: false })).rooms[0].state_events)).toEqual([
      "im.w a",
      "im.w b",
      "m.room.topic ",
    ]);
    expect(sent((await list(client)).rooms[0].state_events).every((one) => one.startsWith("m.room.member"))).toBe(true);
    expect(sent((await list(client, { lazy_load_members: false, state_events: [["m.room.member", BOB]] })).rooms[0].state_events)).toEqual([
      `m.room.member ${BOB}`,
    ]);
  });

  it("S5 D17: timeline_limit 1, at most 20; p.limit 20, at most 100; the last element is the newest", async () => {
    const events = Array.from({ length: 30 }, () => ev.message(ALICE));
    const client = user({ "!a:test": { state: newRoom(ALICE), timeline: events } });
    expect(ids((await list(client)).rooms[0].timeline)).toEqual(ids(events.slice(-1)));
    expect(ids((await list(client, { timeline_limit: 3 })).rooms[0].timeline)).toEqual(ids(events.slice(-3)));
    expect((await list(client, { timeline_limit: 1000 })).rooms[0].timeline).toHaveLength(20);
    const limits = await Promise.all([0, -1, 7, 100, 101].map(async (limit) => (await list(client, { p: { limit } })).p.limit));
    expect(limits).toEqual([20, 20, 7, 100, 100]);
  });

  it("S5: names by the spec's rules: name, alias, heroes; B40 a room without a timeline is listed", async () => {
    const heroes = [ev.member(BOB, "join", { displayname: "Bob" }), ev.member("@c:test", "join", { displayname: "Carl" })];
    const client = user({
      "!name:test": room("Named"),
      "!alias:test": { state: [...newRoom(ALICE), ev.state("m.room.canonical_alias", "", ALICE, { alias: "#a:test" })] },
      "!heroes:test": { state: [...newRoom(ALICE), ...heroes], summary: { "m.heroes": [BOB, "@c:test"], "m.joined_member_count": 5 } },
    });
    const names = Object.fromEntries((await list(client)).rooms.map((one: Json) => [one["room_id"], one["name"]]));
    expect(names).toEqual({ "!name:test": "Named", "!alias:test": "#a:test", "!heroes:test": "Bob, Carl, and 2 others" });
  });

  it("S5 B39: invited and left rooms are not listed; an account without rooms has an empty list (D8)", async () => {
    const client = user(
      { "!a:test": room("A") },
      {
        invite: { "!i:test": [ev.member("@x:test", "invite", {}, { sender: ALICE })] },
        leave: { "!l:test": { timeline: [ev.member("@x:test", "leave")] } },
      },
    );
    expect(roomIds((await list(client)).rooms)).toEqual(["!a:test"]);
    expect(await list(user({}))).toEqual({ rooms: [], count: 0, p: { limit: 20, sort: ["by_recency"] } });
  });
});

describe("sorts", () => {
  const at = (name: string, origin_server_ts: number, unread: { notification_count?: number; highlight_count?: number } = {}) =>
    room(name, { timeline: [ev.message(ALICE, "x", { origin_server_ts })], unread });

  it("S5 R16: by_recency by default: newest first; a room id breaks ties; unknown sorts are dropped, the answer's is a list", async () => {
    const client = user({ "!b:test": at("B", 5000), "!a:test": at("A", 5000), "!c:test": at("C", 9000) });
    for (const sort of [undefined, "by_recency", "by_magic", ["by_magic"], []]) {
      const answer = await list(client, sort === undefined ? {} : { p: { sort } });
      expect(roomIds(answer.rooms)).toEqual(["!c:test", "!a:test", "!b:test"]);
      expect(answer.p.sort).toEqual(["by_recency"]);
    }
    expect((await list(client, { p: { sort: ["by_magic", "by_name", "by_recency"] } })).p.sort).toEqual(["by_name", "by_recency"]);
  });

  it("S5: recency is the smaller of the event's timestamp and when we got it", async () => {
    const before = Date.now();
    const client = user({ "!future:test": at("F", before + 3_600_000), "!past:test": at("P", 5000) });
    const [future, past] = (await list(client)).rooms;
    expect([future.room_id, past.recency]).toEqual(["!future:test", 5000]);
    expect(future.recency).toBeGreaterThanOrEqual(before);
    expect(future.recency).toBeLessThanOrEqual(Date.now());
  });

  it("S5: by_name, A first, Unicode-aware; counts, highest first; the first sort counts most", async () => {
    const client = user({
      "!1:test": at("zebra", 1, { notification_count: 3, highlight_count: 1 }),
      "!2:test": at("Äpfel", 2, { notification_count: 9 }),
      "!3:test": at("Birne", 3, { notification_count: 5, highlight_count: 1 }),
      "!4:test": at("apple", 4),
    });
    const sorted = async (...sort: string[]) => roomIds((await list(client, { p: { sort } })).rooms);
    expect(await sorted("by_name")).toEqual(["!2:test", "!4:test", "!3:test", "!1:test"]);
    expect(await sorted("by_notification_count")).toEqual(["!2:test", "!3:test", "!1:test", "!4:test"]);
    expect(await sorted("by_highlight_count", "by_notification_count")).toEqual(["!3:test", "!1:test", "!2:test", "!4:test"]);
    expect(await sorted("by_highlight_count", "by_name")).toEqual(["!3:test", "!1:test", "!2:test", "!4:test"]);
  });

  it("S5: by_space_order: order, then timestamp, then id; the place is sent", async () => {
    const child = (id: string, content: Json, origin_server_ts: number) =>
      ev.spaceChild(ALICE, id, { via: ["test"], ...content }, { origin_server_ts });
    const space = {
      state: [
        ...newRoom(ALICE, { type: "m.space" }),
        child("!d:test", {}, 2),
        child("!c:test", {}, 2),
        child("!b:test", { order: "b" }, 9),
        child("!a:test", { order: "c" }, 1),
        child("!e:test", {}, 1),
      ],
    };
    const client = user({ "!s:test": space, ...Object.fromEntries(["a", "b", "c", "d", "e"].map((name) => [`!${name}:test`, room(name)])) });
    const answer = await list(client, { spaces: ["!s:test"], p: { sort: "by_space_order" } });
    expect(roomIds(answer.rooms)).toEqual(["!b:test", "!a:test", "!e:test", "!c:test", "!d:test"]);
    expect(answer.rooms[0].space_order).toEqual({ order: "b", origin_server_ts: 9 });
  });
});

describe("filters and spaces", () => {
  const join = {
    "!dm:test": room("Chat with Bob"),
    "!enc:test": room("Secrets", { state: [...newRoom(ALICE), ev.encryption(ALICE), ev.name(ALICE, "Secrets")] }),
    "!fav:test": room("Favourite", { account_data: [{ type: "m.tag", content: { tags: { "m.favourite": {} } } }] }),
    "!low:test": room("Low", { account_data: [{ type: "m.tag", content: { tags: { "m.lowpriority": {}, "m.favourite": {} } } }] }),
    "!space:test": {
      state: [
        ...newRoom(ALICE, { type: "m.space" }),
        ev.name(ALICE, "Space"),
        ev.spaceChild(ALICE, "!fav:test"),
        ev.spaceChild(ALICE, "!sub:test"),
        ev.spaceChild(ALICE, "!low:test", {}),
        ev.spaceChild(ALICE, "!foreign:test"),
      ],
    },
    "!sub:test": { state: [...newRoom(ALICE, { type: "m.space" }), ev.spaceChild(ALICE, "!enc:test")] },
  };
  const ofDms = { account_data: [{ type: "m.direct", content: { [BOB]: ["!dm:test"] } }] };

  it("S5: is_dm, is_encrypted, tags, not_tags, room_types, not_room_types, room_name_like; `count` is of all that match", async () => {
    const client = user(join, ofDms);
    const matching = async (filters: Json) => {
      const answer = await list(client, { filters, p: { sort: "by_name", limit: 1 } });
      const all = await list(client, { filters, p: { sort: "by_name" } });
      expect(answer.count).toBe(all.rooms.length);
      return (roomIds(all.rooms) as string[]).map((id) => id.slice(1, -5)).toSorted();
    };
    expect(await matching({})).toEqual(["dm", "enc", "fav", "low", "space", "sub"]);
    expect(await matching({ is_dm: true })).toEqual(["dm"]);
    expect(await matching({ is_dm: false, is_encrypted: false, room_types: [null] })).toEqual(["fav", "low"]);
    expect(await matching({ is_encrypted: true })).toEqual(["enc"]);
    expect(await matching({ tags: ["m.favourite", "u.x"] })).toEqual(["fav", "low"]);
    expect(await matching({ tags: ["m.favourite"], not_tags: ["m.lowpriority"] })).toEqual(["fav"]);
    expect(await matching({ room_types: ["m.space"] })).toEqual(["space", "sub"]);
    expect(await matching({ not_room_types: ["m.space"] })).toEqual(["dm", "enc", "fav", "low"]);
    expect(await matching({ not_room_types: [null] })).toEqual(["space", "sub"]);
    expect(await matching({ room_name_like: "AVOUR" })).toEqual(["fav"]);
  });

  it("S5: spaces: direct children with a via only; spaces that the user is not in are ignored", async () => {
    const client = user(join, ofDms);
    const children = async (...spaces: string[]) => (roomIds((await list(client, { spaces })).rooms) as string[]).toSorted();
    expect(await children("!space:test")).toEqual(["!fav:test", "!sub:test"]);
    expect(await children("!sub:test", "!elsewhere:test")).toEqual(["!enc:test"]);
    expect(await children("!elsewhere:test")).toEqual([]);
    expect(await children("!space:test", "!sub:test")).toEqual(["!enc:test", "!fav:test", "!sub:test"]);
    expect(roomIds((await list(client, { spaces: ["!space:test"], filters: { room_types: [null] } })).rooms)).toEqual(["!fav:test"]);
  });

  it("D9 D13: filters merge parameter by parameter; another filter, sort, space or state_events starts the list", async () => {
    const client = user(join, ofDms);
    const first = await client.sync({ room_list: { filters: { is_dm: false, is_encrypted: true } } });
    const more = await client.sync({ room_list: { filters: { is_encrypted: null, tags: ["m.favourite"] } } }, { since: first.next });
    expect(more["room_list"].count).toBe(2);
    let { next } = more;
    for (const change of [
      { p: { sort: "by_name" } },
      { state_events: [["m.room.name", ""]] },
      { spaces: ["!space:test"] },
      { filters: { tags: null } },
    ]) {
      const then = await client.sync({ room_list: change }, { since: next });
      expect(then["room_list"].rooms[0].name).toEqual(expect.any(String));
      ({ next } = then);
    }
    expect(await client.sync({ room_list: { timeline_limit: 5, p: { limit: 3 } } }, { since: next })).toEqual({ next: expect.any(String) });
  });
});

describe("new sessions", () => {
  it("S5 D20: each is sent the current rooms in their order, whatever an earlier session was sent", async () => {
    const client = user({
      "!a:test": room("A", { timeline: [ev.message(ALICE, "x", { origin_server_ts: 1000 })] }),
      "!b:test": room("B", { timeline: [ev.message(ALICE, "x", { origin_server_ts: 2000 })] }),
    });
    const sent = async () => ((await list(client))["rooms"] as Json[]).map((one) => [one["room_id"], one["name"]]);
    const first = await sent();
    expect(await sent()).toEqual(first);
    await t.deliver(client, v2({ join: { "!a:test": { timeline: [ev.name(ALICE, "Renamed", { origin_server_ts: 3000 })] } } }));
    const then = await sent();
    expect(then).toEqual([
      ["!a:test", "Renamed"],
      ["!b:test", "B"],
    ]);
    const [row] = await t.sql<{ account: AccountNo }[]>`select account from accounts where user_id = ${client.me}`;
    if (!row) throw new Error("there is no account");
    await forgetRoom(t.sql, row.account, "!a:test" as RoomId);
    expect(await sent()).toEqual([["!b:test", "B"]]);
  });
});
