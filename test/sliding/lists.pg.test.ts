import { describe, expect, it } from "vitest";
import { ev, type Json, newRoom, type RoomParts, v2, type V2Parts } from "../support/fake-homeserver.ts";
import { listed, newcomer, stripped } from "../support/listed.ts";
import { DIALECTS, type SlidingClient } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const ALICE = "@alice:test";

const t = v3Server();

/** A room whose newest event has that timestamp. */
const room = (ts: number, ...more: Json[]): RoomParts => ({
  state: newRoom(ALICE),
  timeline: [...more, ev.message(ALICE, "newest", { origin_server_ts: ts })],
});
const all = { all: { ranges: [[0, 9]] as const, limit: 1 } };
const deliver = (client: SlidingClient, parts: V2Parts) => t.deliver(client.client, v2(parts));
const left = (me: string, sender = me, membership = "leave") => ({ timeline: [ev.member(me, membership, {}, { sender })] });

describe.each(DIALECTS)("%s: which rooms a list holds", (dialect) => {
  const user = (first: V2Parts | ((me: string) => V2Parts)) => newcomer(t, dialect, first);

  it("M9: rooms that the user is joined to, invited to, knocked on", async () => {
    const client = user((me) => ({
      join: { "!j:test": room(1000) },
      invite: { "!i:test": stripped(me, ALICE) },
      knock: { "!k:test": [{ type: "m.room.member", state_key: me, sender: me, content: { membership: "knock" } }] },
    }));
    expect((await listed(client)).toSorted()).toEqual(["!i:test", "!j:test", "!k:test"]);
  });

  it("M9: an account without rooms has an empty list", async () => {
    const client = user({});
    expect(await listed(client)).toEqual([]);
    expect(await client.sync({ lists: all })).toMatchObject({ lists: { all: { count: 0 } }, rooms: {} });
  });

  it("M9: a room without a timeline is listed", async () => {
    const client = user({ join: { "!a:test": { state: newRoom(ALICE) } } });
    expect(await listed(client)).toEqual(["!a:test"]);
    const { rooms } = await client.sync({ lists: all });
    expect(rooms["!a:test"]).toMatchObject({ initial: true, limited: false });
  });

  it("M9: a room that was left stays in lists that contained it until the leave is sent, and is in no new list", async () => {
    const client = user({ join: { "!a:test": room(1000), "!b:test": room(2000) } });
    const first = await client.sync({ lists: all });
    await deliver(client, { leave: { "!a:test": left(client.client.userId) } });
    const second = await client.sync({ lists: all }, { pos: first.pos });
    expect([second.lists["all"]?.count, Object.keys(second.rooms)]).toEqual([2, ["!a:test"]]);
    expect(second.rooms["!a:test"]?.["required_state"]).toMatchObject([{ type: "m.room.member", content: { membership: "leave" } }]);
    expect(await client.sync({ lists: all }, { pos: second.pos })).toMatchObject({ lists: { all: { count: 1 } }, rooms: {} });
    // The answer may be lost.
    expect(Object.keys((await client.sync({ lists: all }, { pos: first.pos })).rooms)).toEqual(["!a:test"]);
    expect(await listed(client)).toEqual(["!b:test"]);
  });

  it("M9: a room that was left before it was ever sent is not sent", async () => {
    const client = user({ join: { "!a:test": room(1000), "!b:test": room(2000) } });
    const first = await client.sync({ lists: { all: { ranges: [[0, 0]], limit: 1 } } });
    await deliver(client, { leave: { "!a:test": left(client.client.userId) } });
    expect(await client.sync({ lists: all }, { pos: first.pos })).toMatchObject({ lists: { all: { count: 1 } }, rooms: {} });
  });

  it("M9: a room that the user was kicked or banned from is always in the list", async () => {
    const client = user({ join: { "!kick:test": room(1000), "!ban:test": room(2000), "!on:test": room(3000) } });
    const { userId } = client.client;
    const first = await client.sync({ lists: all });
    await deliver(client, { leave: { "!kick:test": left(userId, ALICE), "!ban:test": left(userId, ALICE, "ban") } });
    const second = await client.sync({ lists: all }, { pos: first.pos });
    expect(Object.keys(second.rooms).toSorted()).toEqual(["!ban:test", "!kick:test"]);
    const third = await client.sync({ lists: all }, { pos: second.pos });
    expect(third).toMatchObject({ lists: { all: { count: 3 } }, rooms: {} });
    expect((await listed(client)).toSorted()).toEqual(["!ban:test", "!kick:test", "!on:test"]);
  });

  it("M9: banned or left without having been in: never", async () => {
    const client = user((me) => ({ join: { "!a:test": room(1000) }, invite: { "!i:test": stripped(me, ALICE) } }));
    const { userId } = client.client;
    await client.sync({ lists: all });
    await deliver(client, { leave: { "!ban:test": left(userId, ALICE, "ban"), "!i:test": left(userId) } });
    expect(await listed(client)).toEqual(["!a:test"]);
  });

  it("M9: forgotten rooms are never in the list, even of connections that were sent them, until invited or joined again", async () => {
    const client = user({ join: { "!a:test": room(1000), "!b:test": room(2000) } });
    const { userId } = client.client;
    const first = await client.sync({ lists: all });
    await deliver(client, { leave: { "!a:test": left(userId, ALICE) } });
    expect((await listed(client)).toSorted()).toEqual(["!a:test", "!b:test"]);
    t.hs.on("POST", "/_matrix/client/v3/rooms/:room/forget", { body: {} });
    expect((await client.client.fetch("POST", "/_matrix/client/v3/rooms/!a:test/forget", "{}")).status).toBe(200);
    expect(await listed(client)).toEqual(["!b:test"]);
    const second = await client.sync({ lists: all }, { pos: first.pos });
    expect(second).toMatchObject({ lists: { all: { count: 1 } }, rooms: {} });
    await deliver(client, { invite: { "!a:test": stripped(userId, ALICE) } });
    const third = await client.sync({ lists: all }, { pos: second.pos });
    expect(third.rooms["!a:test"]?.["invite_state"]).toHaveLength(1);
    await deliver(client, { join: { "!a:test": { state: newRoom(ALICE), timeline: [ev.member(userId)], limited: true, prev_batch: "p" } } });
    const fourth = await client.sync({ lists: all }, { pos: third.pos });
    expect(fourth.rooms["!a:test"]).toMatchObject({ initial: true, timeline: [{ type: "m.room.member" }] });
  });

  it("M33: a room that was left, sent or not, is initial when it is joined again", async () => {
    const client = user({ join: { "!a:test": room(1000), "!b:test": room(2000) } });
    const { userId } = client.client;
    const first = await client.sync({ lists: all });
    const rejoin = () => ({ join: { "!a:test": { state: newRoom(ALICE), timeline: [ev.member(userId)], limited: true, prev_batch: "p" } } });
    await deliver(client, { leave: { "!a:test": left(userId) } });
    const second = await client.sync({ lists: all }, { pos: first.pos });
    await deliver(client, rejoin());
    const sent = await client.sync({ lists: all }, { pos: second.pos });
    const untold = await client.sync({ lists: all }, { pos: first.pos });
    for (const answer of [sent, untold]) {
      expect(Object.keys(answer.rooms)).toEqual(["!a:test"]);
      expect(answer.rooms["!a:test"]).toMatchObject({ initial: true, limited: true });
    }
    expect(await client.sync({ lists: all }, { pos: untold.pos })).toMatchObject({ lists: { all: { count: 2 } }, rooms: {} });
  });
});

describe.each(DIALECTS)("%s: order and windows", (dialect) => {
  const user = (first: V2Parts) => newcomer(t, dialect, first);
  const three = { join: { "!b:test": room(2000), "!c:test": room(3000), "!a:test": room(1000) } };

  it("M10: in the order of the events' times after a first sync; then of what came last, whatever its type and time", async () => {
    const client = user(three);
    expect(await listed(client)).toEqual(["!c:test", "!b:test", "!a:test"]);
    await deliver(client, { join: { "!a:test": { timeline: [ev.topic(ALICE, "old news", { origin_server_ts: 5 })] } } });
    expect(await listed(client)).toEqual(["!a:test", "!c:test", "!b:test"]);
    await deliver(client, { invite: { "!i:test": stripped(client.client.userId, ALICE) } });
    expect(await listed(client)).toEqual(["!i:test", "!a:test", "!c:test", "!b:test"]);
    await t.restart();
    expect(await listed(client)).toEqual(["!i:test", "!a:test", "!c:test", "!b:test"]);
  });

  it("M10: only events move rooms: counts, tags, receipts and typing do not", async () => {
    const client = user(three);
    await client.sync();
    const data = {
      account_data: [{ type: "m.tag", content: { tags: { "u.x": {} } } }],
      ephemeral: [{ type: "m.typing", content: { user_ids: [ALICE] } }],
    };
    await deliver(client, { join: { "!a:test": { unread: { notification_count: 1 }, summary: { "m.joined_member_count": 7 }, ...data } } });
    expect(await listed(client)).toEqual(["!c:test", "!b:test", "!a:test"]);
  });

  it("M11: the window slices the list, `count` is of all; the end lies beyond it, or the beginning", async () => {
    const client = user(three);
    const asked = async (...range: readonly [number, number]) => {
      const answer = await client.sync({ connId: "w", lists: { all: { ranges: [range], limit: 1 } } });
      expect(answer.lists["all"]?.count).toBe(3);
      return Object.keys(answer.rooms).toSorted();
    };
    expect(await asked(0, 0)).toEqual(["!c:test"]);
    expect(await asked(1, 2)).toEqual(["!a:test", "!b:test"]);
    expect(await asked(1, 99)).toEqual(["!a:test", "!b:test"]);
    expect(await asked(3, 9)).toEqual([]);
  });

  it("M11: without a range all rooms are in the window", async () => {
    const answer = await user(three).sync({ lists: { all: { limit: 1 } } });
    expect([answer.lists["all"]?.count, Object.keys(answer.rooms).toSorted()]).toEqual([3, ["!a:test", "!b:test", "!c:test"]]);
  });

  it("M11: a grown window sends the rooms that are new in it, a moved one those that moved in", async () => {
    const client = user(three);
    const list = (...range: readonly [number, number]) => ({ lists: { all: { ranges: [range], limit: 1 } } });
    const first = await client.sync(list(0, 0));
    const second = await client.sync(list(0, 1), { pos: first.pos });
    expect([Object.keys(first.rooms), Object.keys(second.rooms)]).toEqual([["!c:test"], ["!b:test"]]);
    await deliver(client, { join: { "!a:test": { timeline: [ev.message(ALICE)] } } });
    const third = await client.sync(list(0, 1), { pos: second.pos });
    expect([Object.keys(third.rooms), third.rooms["!a:test"]?.["initial"]]).toEqual([["!a:test"], true]);
    // A room that was pushed out of the window and did not change is not sent again.
    expect((await client.sync(list(0, 9), { pos: third.pos })).rooms).toEqual({});
  });
});

describe("the unstable dialect's windows", () => {
  const five = Object.fromEntries(["a", "b", "c", "d", "e"].map((name, index) => [`!${name}:test`, room(9000 - index * 1000)]));

  it("M11: several ranges, and one SYNC for each; overlapping ones send a room once", async () => {
    const client = newcomer(t, "unstable", { join: five });
    const answer = await client.sync({
      lists: {
        all: {
          ranges: [
            [0, 1],
            [1, 2],
            [4, 8],
          ],
          limit: 1,
        },
      },
    });
    expect(answer.lists["all"]).toEqual({
      count: 5,
      ops: [
        { op: "SYNC", range: [0, 1], room_ids: ["!a:test", "!b:test"] },
        { op: "SYNC", range: [1, 2], room_ids: ["!b:test", "!c:test"] },
        { op: "SYNC", range: [4, 8], room_ids: ["!e:test"] },
      ],
    });
    expect(Object.keys(answer.rooms).toSorted()).toEqual(["!a:test", "!b:test", "!c:test", "!e:test"]);
  });

  it("M11: slow_get_all_rooms makes the ranges of no account", async () => {
    const client = newcomer(t, "unstable", { join: five });
    const lists = { all: { ranges: [[0, 0]], slow_get_all_rooms: true, timeline_limit: 1, required_state: [] } };
    const answer = await client.sync({ more: { lists } });
    expect(Object.keys(answer.rooms)).toHaveLength(5);
  });

  it("M11: v4 has no `ops`, and no `lists` where no list was asked for", async () => {
    const client = newcomer(t, "v4", { join: five });
    const { body } = await client.request({ lists: all });
    expect(body["lists"]).toEqual({ all: { count: 5 } });
    expect((await client.request({ subs: { "!a:test": {} } })).body).not.toHaveProperty("lists");
  });
});
