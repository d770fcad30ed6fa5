import { describe, expect, it } from "vitest";
import { ev, type Json, newRoom, type RoomParts, v2, type V2Parts } from "../support/fake-homeserver.ts";
import { listed, newcomer, stripped } from "../support/listed.ts";
import { ids } from "../support/rooms.ts";
import { type AskedConfig, DIALECTS, type SlidingClient, stateOf, timelineIds } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const ALICE = "@alice:test";
const MALLORY = "@mallory:test";

const t = v3Server();

const room = (timeline: Json[] = [ev.message(ALICE)], state: Json[] = []): RoomParts => ({ state: [...newRoom(ALICE), ...state], timeline });
const deliver = (client: SlidingClient, parts: V2Parts) => t.deliver(client.client, v2(parts));
const ignoring = (...users: string[]) => [
  { type: "m.ignored_user_list", content: { ignored_users: Object.fromEntries(users.map((user) => [user, {}])) } },
];
const all = { all: { ranges: [[0, 9]] as const, limit: 5 } };

describe.each(DIALECTS)("%s: subscriptions", (dialect) => {
  const user = (first: V2Parts | ((me: string) => V2Parts)) => newcomer(t, dialect, first);

  it("M19: a room outside of every window is sent, in full first, then what is new, once", async () => {
    const last = ev.message(ALICE, "last");
    const client = user({
      join: { "!top:test": room(), "!a:test": room([ev.message(ALICE, "before", { origin_server_ts: 5 }), last], [ev.name(ALICE, "A")]) },
    });
    const ask = { lists: { all: { ranges: [[9, 9]] as const } }, subs: { "!a:test": { limit: 1, state: [["m.room.name", ""]] as const } } };
    const first = await client.sync(ask);
    expect(Object.keys(first.rooms)).toEqual(["!a:test"]);
    expect(first.rooms["!a:test"]).toMatchObject({ initial: true, name: "A", limited: true });
    expect(timelineIds(first.rooms["!a:test"])).toEqual([last.event_id]);
    const renamed = ev.name(ALICE, "B");
    await deliver(client, { join: { "!a:test": { timeline: [renamed] } } });
    const second = await client.sync(ask, { pos: first.pos });
    expect(second.rooms["!a:test"]).toMatchObject({ name: "B", limited: false, num_live: 1 });
    expect(second.rooms["!a:test"]).not.toHaveProperty("initial");
    expect(timelineIds(second.rooms["!a:test"])).toEqual([renamed.event_id]);
    expect((await client.sync(ask, { pos: second.pos })).rooms).toEqual({});
    // A subscription ends when it is not named any more (a client that names its connection is not an old-style one).
    await deliver(client, { join: { "!a:test": { timeline: [ev.message(ALICE)] } } });
    expect((await client.sync({}, { pos: second.pos })).rooms).toEqual({});
  });

  it("M19: a room that the user was in is sent as of then; one left before it was sent as well", async () => {
    const client = user({ join: { "!a:test": room() } });
    const { userId } = client.client;
    await client.sync();
    const leave = ev.member(userId, "leave");
    await deliver(client, { leave: { "!a:test": { timeline: [leave] } } });
    expect(await listed(client)).toEqual([]);
    const { rooms } = await client.sync({ subs: { "!a:test": { limit: 1, state: [["m.room.create", ""]] } } });
    expect(timelineIds(rooms["!a:test"])).toEqual([leave.event_id]);
    expect(stateOf(rooms["!a:test"])).toEqual(["m.room.create|", `m.room.member|${userId}`]);
    expect(rooms["!a:test"]).not.toHaveProperty("joined_count");
  });

  it("M19: invites and knocks are sent with their stripped state", async () => {
    const client = user((me) => ({
      invite: { "!i:test": stripped(me, ALICE, { type: "m.room.name", state_key: "", sender: ALICE, content: { name: "I" } }) },
    }));
    const { rooms } = await client.sync({ subs: { "!i:test": { state: [["*", "*"]] } } });
    expect(rooms["!i:test"]?.["invite_state"]).toHaveLength(2);
    for (const field of ["name", "required_state", "timeline", "joined_count"]) expect(rooms["!i:test"]).not.toHaveProperty(field);
  });

  it("M19: rooms of others, unknown ones, and those that one was banned from without having been in are ignored", async () => {
    const bob = user({ join: { "!bobs:test": room() } });
    await bob.sync();
    const client = user((me) => ({
      join: { "!mine:test": room() },
      leave: { "!ban:test": { timeline: [ev.member(me, "ban", {}, { sender: ALICE })] } },
    }));
    const full = { state: [["*", "*"]] as const, limit: 20 };
    const answer = await client.sync({
      subs: { "!bobs:test": full, "!nowhere:test": full, "no room": full, "!ban:test": full, "!mine:test": { limit: 1 } },
      ext: { account_data: { enabled: true }, receipts: { enabled: true }, typing: { enabled: true } },
    });
    expect(Object.keys(answer.rooms)).toEqual(["!mine:test"]);
    expect(JSON.stringify(answer)).not.toMatch(/bobs|nowhere|ban:test/);
    await deliver(bob, {
      join: { "!bobs:test": { timeline: [ev.message(ALICE)], ephemeral: [{ type: "m.typing", content: { user_ids: [ALICE] } }] } },
    });
    expect((await client.sync({ subs: { "!bobs:test": full } }, { pos: answer.pos })).rooms).toEqual({});
  });

  it("M19: what is subscribed to without permission is sent once there is some", async () => {
    const client = user({ join: { "!mine:test": room() } });
    const ask = { subs: { "!later:test": { limit: 1 } } };
    const first = await client.sync(ask);
    await deliver(client, { join: { "!later:test": { ...room([ev.member(client.client.userId)]), limited: true, prev_batch: "p" } } });
    expect((await client.sync(ask, { pos: first.pos })).rooms).toMatchObject({ "!later:test": { initial: true } });
  });

  const topic = ["m.room.topic", ""] as const;
  const name = ["m.room.name", ""] as const;

  it("M21: several lists and a subscription: the largest limit, the union of the state", async () => {
    const timeline = Array.from({ length: 6 }, () => ev.message(ALICE));
    const client = user({ join: { "!a:test": room(timeline, [ev.topic(ALICE, "t"), ev.name(ALICE, "n"), ev.encryption(ALICE)]) } });
    const list = (limit: number, ...state: (readonly [string, string])[]) => ({ ranges: [[0, 9]] as const, limit, state });
    const sent = async (lists: Record<string, AskedConfig>, subs: Record<string, AskedConfig> = {}) => {
      const { rooms } = await client.sync({ connId: "one", lists, subs });
      return [timelineIds(rooms["!a:test"]), stateOf(rooms["!a:test"])];
    };
    expect(await sent({ few: list(1, topic), many: list(3, name, topic) })).toEqual([ids(timeline.slice(-3)), ["m.room.name|", "m.room.topic|"]]);
    expect(await sent({ few: list(1, topic) }, { "!a:test": { limit: 4, state: [name] } })).toEqual([
      ids(timeline.slice(-4)),
      ["m.room.name|", "m.room.topic|"],
    ]);
    expect(await sent({ many: list(5) }, { "!a:test": { limit: 0, state: [topic] } })).toEqual([ids(timeline.slice(-5)), ["m.room.topic|"]]);
    const wide = await sent({ none: list(0), wide: list(0, ["m.room.encryption", "*"]) }, { "!a:test": { limit: 0, state: [name] } });
    expect(wide).toEqual([[], ["m.room.encryption|", "m.room.name|"]]);
  });

  it("M21: lazy members in one config and named ones in another are both sent; all members of one include the lazy ones", async () => {
    const others = ["@b:test", "@c:test", "@d:test"];
    const client = user({
      join: {
        "!a:test": room(
          [ev.message("@b:test")],
          others.map((one) => ev.member(one)),
        ),
      },
    });
    t.hs.on("GET", "/_matrix/client/v3/rooms/:room/members", {
      body: { chunk: [ALICE, ...others].map((one) => ev.member(one, "join", {}, { event_id: `$of${one}` })) },
    });
    const list = (...state: (readonly [string, string])[]) => ({ ranges: [[0, 9]] as const, limit: 1, state });
    const lazy = list(["m.room.member", "$LAZY"]);
    const members = async (other: AskedConfig) => stateOf((await client.sync({ connId: "one", lists: { lazy, other } })).rooms["!a:test"]);
    expect(await members(list(["m.room.member", "@c:test"]))).toEqual(["m.room.member|@b:test", "m.room.member|@c:test"]);
    expect(await members(list(["m.room.member", "*"]))).toEqual([ALICE, ...others].map((one) => `m.room.member|${one}`));
  });

  it("M21: a room that comes into a second window with more is sent the more", async () => {
    const timeline = Array.from({ length: 4 }, () => ev.message(ALICE));
    const client = user({ join: { "!a:test": room(timeline, [ev.topic(ALICE, "t")]) } });
    const few = { ranges: [[0, 9]] as const, limit: 1 };
    const first = await client.sync({ lists: { few } });
    const second = await client.sync({ lists: { few, more: { ...few, limit: 3, state: [topic] } } }, { pos: first.pos });
    expect(second.rooms["!a:test"]).toMatchObject({ unstable_expanded_timeline: true });
    expect(timelineIds(second.rooms["!a:test"])).toEqual(ids(timeline.slice(-3)));
    expect(stateOf(second.rooms["!a:test"])).toEqual(["m.room.topic|"]);
  });
});

describe.each(DIALECTS)("%s: ignored users", (dialect) => {
  const user = (first: V2Parts | ((me: string) => V2Parts)) => newcomer(t, dialect, first);

  it("M18: an invite by somebody who is ignored already is not sent, then or later", async () => {
    const client = user((me) => ({
      invite: { "!bad:test": stripped(me, MALLORY), "!good:test": stripped(me, ALICE) },
      account_data: ignoring(MALLORY),
    }));
    expect(await listed(client)).toEqual(["!good:test"]);
    const first = await client.sync({ lists: all, subs: { "!bad:test": {} } });
    expect(Object.keys(first.rooms)).toEqual(["!good:test"]);
    await deliver(client, { invite: { "!bad2:test": stripped(client.client.userId, MALLORY) } });
    const second = await client.sync({ lists: all, subs: { "!bad2:test": {} } }, { pos: first.pos });
    expect(second).toMatchObject({ lists: { all: { count: 1 } }, rooms: {} });
  });

  it("M18: one that came before the ignoring is counted and sent no more", async () => {
    const client = user((me) => ({ invite: { "!bad:test": stripped(me, MALLORY) } }));
    const first = await client.sync({ lists: all });
    expect(Object.keys(first.rooms)).toEqual(["!bad:test"]);
    await deliver(client, { account_data: ignoring(MALLORY) });
    const second = await client.sync({ lists: all }, { pos: first.pos });
    expect(second).toMatchObject({ lists: { all: { count: 0 } }, rooms: {} });
    await deliver(client, {
      invite: { "!bad:test": stripped(client.client.userId, MALLORY, { type: "m.room.topic", state_key: "", sender: MALLORY, content: {} }) },
    });
    expect((await client.sync({ lists: all }, { pos: second.pos })).rooms).toEqual({});
  });

  it("M18: that one was withdrawn is not sent either, but where the invite was", async () => {
    const client = user((me) => ({ invite: { "!bad:test": stripped(me, MALLORY) } }));
    const withdrawn = (by: string) => ({ timeline: [ev.member(client.client.userId, "leave", {}, { sender: by })] });
    const sent = await client.sync({ lists: all });
    await deliver(client, { account_data: ignoring(MALLORY) });
    await deliver(client, { leave: { "!bad:test": withdrawn(MALLORY) } });
    expect(await listed(client)).toEqual([]);
    expect((await client.sync({ connId: "new", subs: { "!bad:test": {} } })).rooms).toEqual({});
    expect(JSON.stringify((await client.sync({ lists: all }, { pos: sent.pos })).rooms["!bad:test"])).toContain(`"membership":"leave"`);
  });

  it("M18: an invite of a room by somebody else, after one by an ignored user, is sent", async () => {
    const client = user((me) => ({ invite: { "!i:test": stripped(me, MALLORY) }, account_data: ignoring(MALLORY) }));
    const first = await client.sync({ lists: all });
    await deliver(client, { invite: { "!i:test": stripped(client.client.userId, ALICE) } });
    expect(Object.keys((await client.sync({ lists: all }, { pos: first.pos })).rooms)).toEqual(["!i:test"]);
  });

  it("M18: messages of ignored users are not sent while they are ignored, and do not count towards the limit; state events are", async () => {
    const [good, bad, badName] = [ev.message(ALICE), ev.message(MALLORY), ev.name(MALLORY, "hers")];
    const client = user({ join: { "!a:test": room([good, badName, bad]) }, account_data: ignoring(MALLORY) });
    const two = { lists: { all: { ranges: [[0, 9]] as const, limit: 2 } } };
    const first = await client.sync(two);
    expect(timelineIds(first.rooms["!a:test"])).toEqual([good.event_id, badName.event_id]);
    expect(first.rooms["!a:test"]?.["limited"]).toBe(false);
    await deliver(client, { join: { "!a:test": { timeline: [ev.message(MALLORY)] } } });
    expect((await client.sync(two, { pos: first.pos })).rooms).toEqual({});
  });

  it("M18: when the ignoring ends, what was left out is sent to a connection that begins from scratch", async () => {
    const bad = ev.message(MALLORY);
    const client = user((me) => ({
      join: { "!a:test": room([bad]) },
      invite: { "!i:test": stripped(me, MALLORY) },
      account_data: ignoring(MALLORY),
    }));
    const first = await client.sync({ lists: all });
    expect(Object.keys(first.rooms)).toEqual(["!a:test"]);
    await deliver(client, { account_data: ignoring() });
    await expect.poll(() => client.request({ lists: all }, { pos: first.pos })).toMatchObject({ status: 400, body: { errcode: "M_UNKNOWN_POS" } });
    const fresh = await client.sync({ lists: all });
    expect(Object.keys(fresh.rooms).toSorted()).toEqual(["!a:test", "!i:test"]);
    expect(timelineIds(fresh.rooms["!a:test"])).toEqual([bad.event_id]);
  });
});
