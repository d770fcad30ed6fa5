import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ev, type Json, newRoom, receipt, type RoomParts, typing, v2, type V2Parts } from "../support/fake-homeserver.ts";
import { ids, RoomRoutes } from "../support/rooms.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";

const ALICE = "@alice:test";
const BOB = "@bob:test";
let t: V3Fixture;
let routes: RoomRoutes;
let count = 0;

beforeAll(async () => {
  t = await startV3();
  routes = new RoomRoutes(t.hs);
});
afterAll(() => t.stop());

const room = (name: string, parts: RoomParts = {}): RoomParts => ({
  state: [...newRoom(ALICE), ev.name(ALICE, name)],
  timeline: [ev.message(ALICE)],
  ...parts,
});
const says = (parts: RoomParts = {}): RoomParts => ({ timeline: [ev.message(ALICE)], ...parts });

/** A new user in rooms !a:test, !b:test and !c:test whose other streams follow the list, which shows two of them by name. */
async function follow(more: Json = {}) {
  count += 1;
  const me = `@me${count}:test`;
  const client = t.login(me, "PHONE", v2({ join: { "!a:test": room("a"), "!b:test": room("b"), "!c:test": room("c") } }));
  const first = await client.sync({
    room_list: { p: { limit: 2, sort: "by_name" } },
    room: { room_id: "room_list" },
    typing: { room_id: "room_list" },
    receipts: { room_id: "room_list" },
    ...more,
  });
  let { next } = first;
  return {
    me,
    client,
    first,
    deliver: (...responses: V2Parts[]) => t.deliver(client, ...responses.map((one) => v2(one))),
    next: async (body: Json = {}, timeout = 0) => {
      const answer = await client.sync(body, { since: next, timeout });
      ({ next } = answer);
      return answer;
    },
  };
}

describe('"room_list" as a room_id', () => {
  it("S4 S5: every room that the list tracks, initial first, then what is new", async () => {
    const user = await follow();
    expect(Object.keys(user.first["room"].rooms).toSorted()).toEqual(["!a:test", "!b:test"]);
    expect(user.first["room"].rooms["!a:test"].initial).toBe(true);
    const event = ev.message(ALICE);
    await user.deliver({ join: { "!a:test": { timeline: [event] }, "!c:test": says() } });
    const delta = (await user.next())["room"].rooms;
    expect(Object.keys(delta)).toEqual(["!a:test"]);
    expect(ids(delta["!a:test"].timeline.events)).toEqual([event.event_id]);
    expect(delta["!a:test"]).not.toHaveProperty("initial");
  });

  it("S4 S5: a room that enters the list starts, one that a page sent does, each once", async () => {
    const user = await follow();
    await user.deliver({ join: { "!n:test": room("n") } });
    const entered = (await user.next())["room"].rooms;
    expect(entered["!n:test"].initial).toBe(true);
    expect(Object.keys(entered)).toEqual(["!n:test"]);
    const replay = user.first;
    await user.client.sync({ room_list: { p: { since: replay["room_list"].p.next } } }, { since: replay.next });
    const then = (await user.next())["room"].rooms;
    expect(then["!c:test"].initial).toBe(true);
    expect(Object.keys(then)).toEqual(["!c:test"]);
    await user.deliver({ join: { "!c:test": says(), "!n:test": says() } });
    const delta = (await user.next())["room"].rooms;
    expect(Object.keys(delta).toSorted()).toEqual(["!c:test", "!n:test"]);
    expect(delta["!c:test"]).not.toHaveProperty("initial");
  });

  it("S4 S5 D18: a room that is left: the leave event last, then nothing", async () => {
    const user = await follow();
    const left = ev.member(user.me, "leave");
    await user.deliver({ leave: { "!a:test": { timeline: [left] } } });
    const answer = await user.next();
    expect(ids(answer["room"].rooms["!a:test"].timeline.events)).toEqual([left.event_id]);
    expect(answer["room_list"].removed).toEqual(["!a:test"]);
    expect(await user.next()).toEqual({ next: expect.any(String) });
  });

  it("S5 D13: another order of the list does not start the rooms again that are still on it", async () => {
    const user = await follow();
    const answer = await user.next({ room_list: { p: { sort: "by_recency" } } });
    const shown = answer["room_list"].rooms.map((one: Json) => String(one["room_id"]));
    expect(shown).toEqual(["!c:test", "!b:test"]);
    expect(Object.keys(answer["room"].rooms)).toEqual(["!c:test"]);
    expect(answer["room"].rooms["!c:test"].initial).toBe(true);
  });

  it("S4 S5: a stream that starts to follow later starts with all of them (D13)", async () => {
    const user = await follow({ room: null });
    await user.deliver({ join: { "!a:test": says() } });
    await user.next();
    const answer = await user.next({ room: { room_id: "room_list", timeline_limit: 1 } });
    expect(Object.keys(answer["room"].rooms).toSorted()).toEqual(["!a:test", "!b:test"]);
    expect(answer["room"].rooms["!b:test"].initial).toBe(true);
  });

  it("S1 S4 S5: with spaces the direct children are tracked, also those that no page sent yet", async () => {
    const me = `@me${(count += 1)}:test`;
    const children = ["!a:test", "!b:test"].map((id) => ev.spaceChild(ALICE, id));
    const space = { state: [...newRoom(ALICE, { type: "m.space" }), ...children], timeline: [ev.message(ALICE)] };
    const client = t.login(me, "PHONE", v2({ join: { "!s:test": space, "!a:test": room("a"), "!b:test": room("b"), "!c:test": room("c") } }));
    const followers = { typing: { room_id: "room_list" }, room: { room_id: "room_list" } };
    const first = await client.sync({ room_list: { spaces: ["!s:test"], p: { sort: "by_name", limit: 1 } }, ...followers });
    expect(first["room_list"].rooms).toHaveLength(1);
    expect(Object.keys(first["room"].rooms).toSorted()).toEqual(["!a:test", "!b:test"]);
    const typers = { ephemeral: [typing(BOB)] };
    await t.deliver(client, v2({ join: { "!b:test": typers, "!c:test": typers } }));
    const then = await client.sync({}, { since: first.next });
    expect(then["typing"].events.map((event: Json) => event["room_id"])).toEqual(["!b:test"]);
    await t.deliver(client, v2({ join: { "!s:test": { timeline: [ev.spaceChild(ALICE, "!b:test", {}), ev.spaceChild(ALICE, "!c:test")] } } }));
    const moved = await client.sync({}, { since: then.next });
    expect(Object.keys(moved["room"].rooms)).toEqual(["!c:test"]);
    expect(moved["typing"].events.map((event: Json) => event["room_id"])).toContain("!c:test");
  });

  it("S4: without a room_list there is nothing to follow; ending it ends what followed (D9)", async () => {
    const user = await follow();
    expect((await user.client.sync({ room: { room_id: "room_list" } }))["room"]).toEqual({ rooms: {} });
    await user.next({ room_list: null });
    await user.deliver({ join: { "!a:test": says() } });
    expect(await user.next()).toEqual({ next: expect.any(String) });
  });

  it("S1 S5: typing and receipts of the rooms on the list, and of no other", async () => {
    const user = await follow();
    await user.deliver({
      join: { "!a:test": { ephemeral: [typing(BOB), receipt("$x", BOB)] }, "!c:test": { ephemeral: [typing(BOB), receipt("$x", BOB)] } },
    });
    const answer = await user.next();
    expect(answer["typing"].events).toEqual([{ type: "m.typing", room_id: "!a:test", content: { user_ids: [BOB] } }]);
    expect(Object.keys(answer["receipts"].rooms)).toEqual(["!a:test"]);
  });

  it("D24: a room whose members cannot be fetched is left out alone, and starts when they are there", async () => {
    const me = `@me${count + 1}:test`;
    routes.members("!a:test", (request) => (request.token?.endsWith(me.slice(1, -5)) ? [ev.member(ALICE), ev.member(me)] : []));
    const user = await follow({ room: { room_id: "room_list", room_member_limit: 5 } });
    expect(Object.keys(user.first["room"].rooms)).toEqual(["!a:test"]);
    routes.members("!b:test", [ev.member(ALICE), ev.member(me)]);
    await user.deliver({ join: { "!b:test": says() } });
    const then = (await user.next())["room"].rooms;
    expect(Object.keys(then)).toEqual(["!b:test"]);
    expect(then["!b:test"]).toMatchObject({ initial: true, members: { p: { limit: 5, sort: "by_pl" } } });
  });
});
