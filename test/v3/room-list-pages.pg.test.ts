import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ev, type Json, newRoom, type RoomParts, v2 } from "../support/fake-homeserver.ts";
import { startV3, type Answer, type V3Client, type V3Fixture } from "../support/v3.ts";

const ALICE = "@alice:test";
let t: V3Fixture;
let count = 0;

beforeAll(async () => {
  t = await startV3();
});
afterAll(() => t.stop());

const room = (name: string, parts: RoomParts = {}): RoomParts => ({
  state: [...newRoom(ALICE), ev.name(ALICE, name)],
  timeline: [ev.message(ALICE)],
  ...parts,
});
const says = (parts: RoomParts = {}): RoomParts => ({ timeline: [ev.message(ALICE)], ...parts });
const roomIds = (rooms: Json[]): string[] => rooms.map((one) => String(one["room_id"]));
const LETTERS = ["a", "b", "c", "d", "e", "f", "g"];

/** A new user in rooms !a:test to !g:test, each named by its letter. */
function user(): V3Client {
  count += 1;
  return t.login(`@me${count}:test`, "PHONE", v2({ join: Object.fromEntries(LETTERS.map((letter) => [`!${letter}:test`, room(letter)])) }));
}
const BY_NAME = { p: { limit: 2, sort: "by_name" } };
const page = (client: V3Client, from: Answer, token: string, p: Json = {}) =>
  client.sync({ room_list: { p: { since: token, ...p } } }, { since: from.next, timeout: 20_000 });
const deliver = (client: V3Client, join: Record<string, RoomParts>) => t.deliver(client, v2({ join }));

describe("pages", () => {
  it("R17 R18 R19 D14: walk the snapshot, whatever happens meanwhile; `next` stays, `p.next` ends", async () => {
    const client = user();
    const first = await client.sync({ room_list: BY_NAME });
    expect(roomIds(first["room_list"].rooms)).toEqual(["!a:test", "!b:test"]);
    await deliver(client, {
      "!g:test": { timeline: [ev.name(ALICE, "aa")] },
      "!new:test": room("bb"),
      "!c:test": { timeline: [ev.name(ALICE, "z")] },
    });
    await t.deliver(client, v2({ leave: { "!d:test": { timeline: [ev.member(client.userId, "leave")] } } }));
    const told: string[] = [];
    let token = first["room_list"].p.next;
    while (token !== undefined) {
      const then = await page(client, first, token);
      expect(then.next).toBe(first.next);
      expect(then["room_list"].count).toBe(7);
      told.push(...then["room_list"].rooms.map((one: Json) => String(one["name"])));
      token = then["room_list"].p.next;
    }
    expect(told).toEqual(["c", "d", "e", "f", "g"]);
    const delta = (await client.sync({}, { since: first.next }))["room_list"];
    expect(delta.removed).toEqual(["!d:test"]);
    expect(roomIds(delta.rooms).toSorted()).toEqual(["!c:test", "!d:test", "!g:test", "!new:test"]);
  });

  it("D15: changing the limit on the way neither skips nor repeats; D14: for that request alone", async () => {
    const client = user();
    const first = await client.sync({ room_list: BY_NAME });
    const two = await page(client, first, first["room_list"].p.next, { limit: 3 });
    expect(two["room_list"].p).toMatchObject({ limit: 3, sort: ["by_name"] });
    const three = await page(client, first, two["room_list"].p.next);
    expect([roomIds(two["room_list"].rooms), roomIds(three["room_list"].rooms)]).toEqual([
      ["!c:test", "!d:test", "!e:test"],
      ["!f:test", "!g:test"],
    ]);
    expect(three["room_list"].p).toEqual({ limit: 2, sort: ["by_name"] });
  });

  it("D14: other parameters of a page request change nothing", async () => {
    const client = user();
    const first = await client.sync({ room_list: BY_NAME });
    const two = await client.sync(
      { room_list: { timeline_limit: 9, filters: { is_dm: true }, p: { since: first["room_list"].p.next, sort: "by_recency" } }, account_data: {} },
      { since: first.next },
    );
    expect(Object.keys(two).toSorted()).toEqual(["next", "room_list"]);
    expect(roomIds(two["room_list"].rooms)).toEqual(["!c:test", "!d:test"]);
    expect(await client.sync({}, { since: two.next })).toEqual({ next: expect.any(String) });
  });

  it("R20 S5: a client need not fetch pages: rooms of those it did not are not sent", async () => {
    const client = user();
    const first = await client.sync({ room_list: BY_NAME });
    await deliver(client, { "!c:test": says(), "!a:test": says() });
    expect(roomIds((await client.sync({}, { since: first.next }))["room_list"].rooms)).toEqual(["!a:test"]);
  });

  it("D14 D15: refused with another since, none, another list's, another session's, or nonsense", async () => {
    const client = user();
    const first = await client.sync({ room_list: BY_NAME });
    const token = first["room_list"].p.next;
    const sorted = await client.sync({ room_list: { p: { sort: "by_recency" } } }, { since: first.next });
    await deliver(client, { "!a:test": says() });
    const later = await client.sync({}, { since: first.next });
    const other = await client.sync({ room_list: BY_NAME });
    for (const [since, value] of [
      [later.next, token],
      [undefined, token],
      [sorted.next, token],
      [other.next, token],
      [first.next, "2"],
      [first.next, `${token}x`],
    ] as const) {
      const reply = await client.request({ room_list: { p: { since: value } } }, { since });
      expect([reply.status, reply.body["errcode"]]).toEqual([400, "M_INVALID_PARAM"]);
    }
    expect(roomIds((await page(client, first, token))["room_list"].rooms)).toEqual(["!c:test", "!d:test"]);
  });

  it("D22: continue after a restart", async () => {
    const client = user();
    const first = await client.sync({ room_list: BY_NAME });
    await t.restart();
    const two = await page(client, first, first["room_list"].p.next);
    expect(roomIds(two["room_list"].rooms)).toEqual(["!c:test", "!d:test"]);
    await deliver(client, { "!c:test": says() });
    expect(roomIds((await client.sync({}, { since: first.next }))["room_list"].rooms)).toEqual(["!c:test"]);
  });
});

describe("the active set grows with pages", () => {
  it("S5 D14: rooms that a page sent have deltas from the token that the page came with", async () => {
    const client = user();
    const first = await client.sync({ room_list: BY_NAME });
    await page(client, first, first["room_list"].p.next);
    await deliver(client, { "!c:test": says(), "!e:test": says() });
    const delta = (await client.sync({}, { since: first.next }))["room_list"];
    expect(roomIds(delta.rooms)).toEqual(["!c:test"]);
    expect(delta.rooms[0]).not.toHaveProperty("is_dm");
  });

  it("D10: the page's rooms stay in the set of later tokens, and of a replay of the older one", async () => {
    const client = user();
    const first = await client.sync({ room_list: BY_NAME });
    await page(client, first, first["room_list"].p.next);
    await deliver(client, { "!a:test": says() });
    const second = await client.sync({}, { since: first.next });
    await deliver(client, { "!d:test": says() });
    expect(roomIds((await client.sync({}, { since: second.next }))["room_list"].rooms)).toEqual(["!d:test"]);
    expect(roomIds((await client.sync({}, { since: first.next }))["room_list"].rooms).toSorted()).toEqual(["!a:test", "!d:test"]);
  });

  it("S5 D11 D14: a page that is fetched while the main request waits neither ends it nor is lost", async () => {
    const client = user();
    const first = await client.sync({ room_list: BY_NAME });
    const waiting = client.sync({}, { since: first.next, timeout: 30_000 });
    const two = await page(client, first, first["room_list"].p.next);
    expect(roomIds(two["room_list"].rooms)).toEqual(["!c:test", "!d:test"]);
    await deliver(client, { "!c:test": says() });
    const delta = (await waiting)["room_list"];
    expect(roomIds(delta.rooms)).toEqual(["!c:test"]);
  });

  it("S5 D14: a page that is fetched after the main request advanced: what happened since the page's snapshot is sent", async () => {
    const client = user();
    const first = await client.sync({ room_list: { ...BY_NAME, lazy_load_members: false } });
    await deliver(client, { "!a:test": says(), "!c:test": { timeline: [ev.name(ALICE, "changed")] } });
    const second = await client.sync({}, { since: first.next });
    expect(roomIds(second["room_list"].rooms)).toEqual(["!a:test"]);
    const two = await page(client, first, first["room_list"].p.next);
    expect(two["room_list"].rooms.map((one: Json) => one["name"])).toEqual(["c", "d"]);
    const third = await client.sync({}, { since: second.next });
    expect(third["room_list"].rooms).toMatchObject([{ room_id: "!c:test", name: "changed", timeline: [expect.anything()] }]);
    await deliver(client, { "!c:test": says(), "!d:test": says() });
    expect(roomIds((await client.sync({}, { since: third.next }))["room_list"].rooms).toSorted()).toEqual(["!c:test", "!d:test"]);
  });

  it("S5 D7 I9: a late page of rooms in which nothing happened is no news", async () => {
    const client = user();
    const first = await client.sync({ room_list: BY_NAME });
    await deliver(client, { "!a:test": says() });
    const second = await client.sync({}, { since: first.next });
    await page(client, first, first["room_list"].p.next);
    expect(await client.sync({}, { since: second.next, timeout: 200 })).toEqual({ next: expect.any(String) });
  });

  it("S5 D14: the same while the main request has advanced in its wait", async () => {
    const client = user();
    const first = await client.sync({ room_list: BY_NAME, account_data: { global: true } });
    const waiting = client.sync({}, { since: first.next, timeout: 30_000 });
    await deliver(client, { "!d:test": { timeline: [ev.name(ALICE, "renamed")] } });
    const two = await page(client, first, first["room_list"].p.next);
    expect(two["room_list"].rooms.map((one: Json) => one["name"])).toEqual(["c", "d"]);
    await t.deliver(client, v2({ account_data: [{ type: "x", content: {} }] }));
    const answer = await waiting;
    const { rooms } = answer["room_list"] ?? (await client.sync({}, { since: answer.next }))["room_list"];
    expect(rooms).toMatchObject([{ room_id: "!d:test", name: "renamed" }]);
  });
});

describe("page one", () => {
  it("D16 R21: waits while it is what the last answer was, then comes in full, in the newest order", async () => {
    const client = user();
    const first = await client.sync({ room_list: { p: { limit: 2, sort: "by_name", since: "1" } } });
    expect(await client.sync({ room_list: { p: { since: "1" } } }, { since: first.next, timeout: 100 })).toEqual({ next: expect.any(String) });
    const waiting = client.sync({ room_list: { p: { since: "1" } } }, { since: first.next, timeout: 30_000 });
    // Neither of them is on page one.
    await deliver(client, { "!f:test": says() });
    await deliver(client, { "!e:test": { timeline: [ev.name(ALICE, "ab")] } });
    const then = (await waiting)["room_list"];
    expect(then.rooms.map((one: Json) => one["name"])).toEqual(["a", "ab"]);
    expect(then.rooms[0]).toMatchObject({ is_dm: false, timeline: [expect.anything()] });
    expect(then.p.next).toEqual(expect.any(String));
  });

  it("D16: any field of its rooms counts", async () => {
    const client = user();
    let answer = await client.sync({ room_list: { p: { limit: 2, sort: "by_name", since: "1" } } });
    for (const change of [
      { unread: { notification_count: 1 } },
      { summary: { "m.joined_member_count": 9 } },
      says(),
      { account_data: [{ type: "m.tag", content: { tags: { a: {} } } }] },
    ]) {
      const waiting = client.sync({ room_list: { p: { since: "1" } } }, { since: answer.next, timeout: 30_000 });
      await deliver(client, { "!a:test": change });
      answer = await waiting;
      expect(roomIds(answer["room_list"].rooms)).toEqual(["!a:test", "!b:test"]);
    }
  });

  it("D16 B46: comes at once after a delta, or with another limit; `next` advances with it", async () => {
    const client = user();
    const first = await client.sync({ room_list: BY_NAME });
    await deliver(client, { "!a:test": says(), "!z:test": room("z") });
    const delta = await client.sync({}, { since: first.next });
    const one = await client.sync({ room_list: { p: { since: "1" } } }, { since: delta.next, timeout: 30_000 });
    expect(one["room_list"]).toMatchObject({ count: 8, rooms: [{ room_id: "!a:test", name: "a" }, { room_id: "!b:test" }] });
    const longer = await client.sync({ room_list: { p: { since: "1", limit: 3 } } }, { since: one.next, timeout: 30_000 });
    expect(roomIds(longer["room_list"].rooms)).toHaveLength(3);
    const two = await page(client, longer, longer["room_list"].p.next);
    expect(roomIds(two["room_list"].rooms)).toEqual(["!d:test", "!e:test", "!f:test"]);
  });

  it("R21: without it the deltas from since", async () => {
    const client = user();
    const first = await client.sync({ room_list: { p: { limit: 2, sort: "by_name", since: "1" } } });
    await deliver(client, { "!b:test": says() });
    expect(roomIds((await client.sync({}, { since: first.next }))["room_list"].rooms)).toEqual(["!b:test"]);
  });
});
