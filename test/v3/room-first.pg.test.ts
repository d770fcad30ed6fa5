import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ev, type Json, type MatrixEvent, newRoom, v2 } from "../support/fake-homeserver.ts";
import { ids, RoomRoutes, users } from "../support/rooms.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";

const ALICE = "@alice:test";
const BOB = "@bob:test";
let t: V3Fixture;
let routes: RoomRoutes;
let rooms = 0;

beforeAll(async () => {
  t = await startV3();
  routes = new RoomRoutes(t.hs);
});
afterAll(() => t.stop());

/** A new user whose first v2 response has this room. */
function room(parts: {
  state?: Json[];
  timeline?: Json[];
  limited?: boolean;
  prev_batch?: string;
  summary?: Json;
  unread?: { notification_count?: number; highlight_count?: number };
}) {
  rooms += 1;
  const id = `!room${rooms}:test`;
  const me = `@me${rooms}:test`;
  return { id, me, client: t.login(me, "PHONE", v2({ join: { [id]: parts } })) };
}

const types = (events: MatrixEvent[]) => events.map((event) => event.type);
const messages = (count: number, sender = ALICE) => Array.from({ length: count }, (_, n) => ev.message(sender, `m${n}`));

describe("the first answer", () => {
  it("S4: initial, the newest events, the state before them without members, the senders' members, counts", async () => {
    const state = [...newRoom(ALICE), ev.member(BOB), ev.name(ALICE, "before")];
    const timeline = [ev.message(ALICE, "one"), ev.name(ALICE, "after"), ev.message(BOB, "two")];
    const { id, client } = room({
      state,
      timeline,
      summary: { "m.joined_member_count": 7, "m.invited_member_count": 2 },
      unread: { notification_count: 3, highlight_count: 1 },
    });
    const { room: answer } = await client.sync({ room: { room_id: id } });
    const sent = answer.rooms[id];
    expect(Object.keys(sent)).toEqual([
      "initial",
      "state",
      "members",
      "timeline",
      "notification_count",
      "highlight_count",
      "joined_count",
      "invited_count",
    ]);
    expect(sent).toMatchObject({ initial: true, notification_count: 3, highlight_count: 1, joined_count: 7, invited_count: 2 });
    expect(types(sent.state.events)).toEqual(["m.room.create", "m.room.join_rules", "m.room.name", "m.room.power_levels"]);
    expect(sent.state.events[2].content).toEqual({ name: "before" });
    expect(sent.state).not.toHaveProperty("state_before");
    expect(users(sent.members.events).toSorted()).toEqual([ALICE, BOB]);
    expect(ids(sent.timeline.events)).toEqual(ids(timeline));
    expect(sent.timeline.limited).toBe(false);
    expect(sent.timeline.events[0]).toMatchObject({ room_id: id, content: { body: "one" } });
  });

  it("S4: timeline_limit: the newest so many, `limited`, and the state before the first of them", async () => {
    const timeline = [ev.message(ALICE), ev.topic(ALICE, "old"), ev.message(ALICE), ev.topic(ALICE, "new"), ev.message(ALICE)];
    const { id, client } = room({ state: newRoom(ALICE), timeline, prev_batch: "p0" });
    const { room: answer } = await client.sync({ room: { room_id: id, timeline_limit: 2 } });
    const sent = answer.rooms[id];
    expect(ids(sent.timeline.events)).toEqual(ids(timeline.slice(-2)));
    expect(sent.timeline).toMatchObject({ limited: true, prev_batch: expect.any(String) });
    expect(sent.state.events.find((event: MatrixEvent) => event.type === "m.room.topic").content.topic).toBe("old");
  });

  it("S4 D17: timeline_limit is 20 by default and at most 100", async () => {
    const { id, client } = room({ state: newRoom(ALICE), timeline: messages(150) });
    const count = async (timeline_limit: number | undefined) =>
      (await client.sync({ room: { room_id: id, ...(timeline_limit === undefined ? {} : { timeline_limit }) } }))["room"].rooms[id].timeline.events
        .length;
    expect([await count(undefined), await count(0), await count(-1), await count(7), await count(101)]).toEqual([20, 20, 20, 7, 100]);
  });

  it("S4: a sender's member event that is in the timeline is not sent before it", async () => {
    const joined = ev.member(BOB);
    const { id, client } = room({ state: newRoom(ALICE), timeline: [joined, ev.message(BOB)] });
    const sent = (await client.sync({ room: { room_id: id } }))["room"].rooms[id];
    expect(sent.members.events).toEqual([]);
    expect(ids(sent.timeline.events)[0]).toBe(joined.event_id);
  });

  it("S4: a sender whose membership changes in the timeline is sent as before it", async () => {
    const { id, client } = room({
      state: [...newRoom(ALICE), ev.member(BOB, "join", { displayname: "old" })],
      timeline: [ev.message(BOB), ev.member(BOB, "join", { displayname: "new" })],
    });
    const sent = (await client.sync({ room: { room_id: id } }))["room"].rooms[id];
    expect(sent.members.events.map((event: MatrixEvent) => event.content["displayname"])).toEqual(["old"]);
  });

  it("B40 TestHandler: a room with state and no timeline is sent", async () => {
    const { id, client } = room({ state: newRoom(ALICE) });
    const sent = (await client.sync({ room: { room_id: id } }))["room"].rooms[id];
    expect(sent).toMatchObject({ initial: true, timeline: { events: [], limited: false } });
    expect(sent.state.events).toHaveLength(3);
  });

  it("B42 TestHistoryDoesntIncludeState B36 TestAccumulatorDupeEvents TestDuplicateEventsInTimeline: each event once, state is no history", async () => {
    const state = newRoom(ALICE);
    const [a, b] = [ev.message(ALICE), ev.message(ALICE)];
    const { id, client } = room({ state, timeline: [state[1] as MatrixEvent, a, b, b] });
    const sent = (await client.sync({ room: { room_id: id } }))["room"].rooms[id];
    expect(ids(sent.timeline.events)).toEqual(ids([state[1] as MatrixEvent, a, b]));
    expect(types(sent.state.events)).toEqual(["m.room.create", "m.room.join_rules", "m.room.power_levels"]);
  });

  it("B37 TestMalformedEventsTimeline TestMalformedEventsState TestEventTableNullValue: only the bad event is left out", async () => {
    const nul = ev.message(ALICE, "a\u0000b");
    const good = ev.message(ALICE);
    const { id, client } = room({
      state: [...newRoom(ALICE), { type: "m.room.topic", state_key: "", content: {} }],
      timeline: [nul, { type: "x" }, "text" as unknown as Json, good],
    });
    const sent = (await client.sync({ room: { room_id: id } }))["room"].rooms[id];
    expect(ids(sent.timeline.events)).toEqual([nul.event_id, good.event_id]);
    expect(sent.timeline.events[0].content.body).toBe("a\u0000b");
    expect(sent.state.events).toHaveLength(3);
  });

  it("D8: without a room the stream is there, empty", async () => {
    const { client } = room({ state: newRoom(ALICE) });
    expect((await client.sync({ room: {} }))["room"]).toEqual({ rooms: {} });
  });

  it("D18 D13: a room that the user is not in is forbidden alone; another room_id starts", async () => {
    const { id, client } = room({ state: newRoom(ALICE), timeline: [ev.message(ALICE)] });
    const first = await client.sync({ room: { room_id: "!elsewhere:test" }, account_data: {} });
    expect(first["room"]).toEqual({ errcode: "M_FORBIDDEN", error: expect.any(String) });
    expect(first["account_data"]).toBeDefined();
    const then = await client.sync({ room: { room_id: id } }, { since: first.next });
    expect(then["room"].rooms[id].initial).toBe(true);
  });
});

describe("types and not_types", () => {
  const timeline = () => [
    ev.message(ALICE, "one"),
    ev.topic(ALICE, "t"),
    ev.event("org.example.a", ALICE, {}),
    ev.event("org.example.b", ALICE, {}),
    ev.message(ALICE, "two"),
  ];

  it("S4: v2's filter rules, `*` included; not_types wins", async () => {
    const { id, client } = room({ state: newRoom(ALICE), timeline: timeline() });
    const shown = async (filter: Json) => types((await client.sync({ room: { room_id: id, ...filter } }))["room"].rooms[id].timeline.events);
    expect(await shown({ types: ["org.example.*"] })).toEqual(["org.example.a", "org.example.b"]);
    expect(await shown({ types: ["org.example.*", "m.room.message"], not_types: ["*.b"] })).toEqual([
      "m.room.message",
      "org.example.a",
      "m.room.message",
    ]);
    expect(await shown({ not_types: ["m.*"] })).toEqual(["org.example.a", "org.example.b"]);
    expect(await shown({ types: [] })).toEqual([]);
    expect(await shown({ types: ["m_room_message", "m%"] })).toEqual([]);
  });

  it("S4: the limit counts what is shown, and filtered state events come in `state`", async () => {
    const { id, client } = room({ state: [...newRoom(ALICE), ev.topic(ALICE, "before")], timeline: timeline() });
    const sent = (await client.sync({ room: { room_id: id, types: ["m.room.message"], timeline_limit: 2 } }))["room"].rooms[id];
    expect(sent.timeline.events.map((event: MatrixEvent) => event.content["body"])).toEqual(["one", "two"]);
    expect(sent.timeline.limited).toBe(false);
    expect(sent.state.events.find((event: MatrixEvent) => event.type === "m.room.topic").content.topic).toBe("t");
  });

  it("S4 D13: filtered state and members of deltas; other types start the stream", async () => {
    const { id, client } = room({ state: newRoom(ALICE), timeline: [ev.message(ALICE)] });
    const first = await client.sync({ room: { room_id: id, types: ["m.room.message"] } });
    const topic = ev.topic(ALICE, "new");
    const joined = ev.member(BOB);
    await t.deliver(client, v2({ join: { [id]: { timeline: [topic, joined, ev.event("org.example.a", ALICE, {})] } } }));
    const delta = (await client.sync({}, { since: first.next }))["room"].rooms[id];
    expect(delta.state.events.map((event: MatrixEvent) => event.event_id)).toEqual([topic.event_id]);
    expect(delta.members.events.map((event: MatrixEvent) => event.event_id)).toEqual([joined.event_id]);
    expect(delta).not.toHaveProperty("timeline");
    const again = (await client.sync({ room: { types: null } }, { since: first.next }))["room"].rooms[id];
    expect(again.initial).toBe(true);
    expect(again.timeline.events).toHaveLength(4);
  });
});

describe("state", () => {
  it("S4: pairs, `*` for any type or key; members only where named", async () => {
    const widget = (key: string) => ev.state("im.widget", key, ALICE, {});
    const { id, me, client } = room({ state: [...newRoom(ALICE), ev.member(BOB), widget("a"), widget("b")], timeline: [ev.message(ALICE)] });
    const sent = async (state: unknown) =>
      ((await client.sync({ room: { room_id: id, state } }))["room"].rooms[id].state.events as MatrixEvent[]).map(
        (event) => `${event.type} ${event.state_key}`,
      );
    expect(
      await sent([
        ["m.room.create", ""],
        ["im.widget", "*"],
      ]),
    ).toEqual(["im.widget a", "im.widget b", "m.room.create "]);
    expect(await sent([["*", "b"]])).toEqual(["im.widget b"]);
    expect(await sent([])).toEqual([]);
    expect(await sent("all")).toHaveLength(5);
    expect(await sent([["m.room.member", BOB]])).toEqual([`m.room.member ${BOB}`]);
    routes.members(id, [ev.member(ALICE), ev.member(BOB), ev.member(me), ev.member("@lazy:test")]);
    expect((await sent([["m.room.member", "*"]])).toSorted()).toEqual(
      [ALICE, BOB, "@lazy:test", me].map((user) => `m.room.member ${user}`).toSorted(),
    );
  });

  it("S4: pairs in deltas: named state that a filter hides comes, other does not", async () => {
    const { id, client } = room({ state: newRoom(ALICE), timeline: [ev.message(ALICE)] });
    const first = await client.sync({ room: { room_id: id, types: ["m.room.message"], state: [["m.room.topic", ""]] } });
    const topic = ev.topic(ALICE, "t");
    await t.deliver(client, v2({ join: { [id]: { timeline: [topic, ev.name(ALICE, "n")] } } }));
    const delta = (await client.sync({}, { since: first.next }))["room"].rooms[id];
    expect(ids(delta.state.events)).toEqual([topic.event_id]);
  });
});

describe("room_member_limit", () => {
  it("S4: the first page of members, in order; p.next continues in room_members", async () => {
    const { id, me, client } = room({ state: newRoom(ALICE), timeline: [ev.message(ALICE)] });
    const names = Array.from({ length: 9 }, (_, n) => `@u${n}:test`);
    routes.members(
      id,
      [ALICE, me, ...names].map((user) => ev.member(user)),
    );
    const first = await client.sync({ room: { room_id: id, room_member_limit: 3, room_member_sort: "by_name" } });
    const { members } = first["room"].rooms[id];
    expect(members.p).toEqual({ limit: 3, sort: "by_name", next: expect.any(String) });
    const sent = users(members.events);
    const page = await client.sync({ room_members: { p: { since: members.p.next, limit: 4 } } }, { since: first.next });
    expect(page["room_members"].p).toMatchObject({ limit: 4, sort: "by_name", next: expect.any(String) });
    sent.push(...users(page["room_members"].events));
    const last = await client.sync({ room_members: { p: { since: page["room_members"].p.next } } }, { since: first.next });
    expect(last["room_members"].p).not.toHaveProperty("next");
    sent.push(...users(last["room_members"].events));
    expect(sent).toEqual([ALICE, me, ...names]);
  });

  it("S4: by power level by default; deltas contain only the senders", async () => {
    const { id, me, client } = room({ state: newRoom("@zoe:test"), timeline: [ev.message("@zoe:test")] });
    routes.members(
      id,
      ["@zoe:test", me, BOB].map((user) => ev.member(user)),
    );
    const first = await client.sync({ room: { room_id: id, room_member_limit: 2 } });
    expect(first["room"].rooms[id].members.p).toMatchObject({ limit: 2, sort: "by_pl" });
    expect(users(first["room"].rooms[id].members.events)).toEqual(["@zoe:test", BOB]);
    await t.deliver(client, v2({ join: { [id]: { timeline: [ev.message(BOB)] } } }));
    const delta = (await client.sync({}, { since: first.next }))["room"].rooms[id];
    expect(users(delta.members.events)).toEqual([BOB]);
    expect(delta.members).not.toHaveProperty("p");
  });

  it("S4 S3: continues also where the session's room_members lag behind a limit", async () => {
    const { id, me, client } = room({ state: newRoom(ALICE), timeline: [ev.message(ALICE)] });
    routes.members(
      id,
      [ALICE, me].map((user) => ev.member(user)),
    );
    const first = await client.sync({ room_members: { room_id: id, p: { limit: 1 } } });
    await t.deliver(client, v2({ join: { [id]: { timeline: ["@a:test", "@b:test", "@c:test"].map((user) => ev.member(user)) } } }));
    const then = await client.sync({ room: { room_id: id, room_member_limit: 2 } }, { since: first.next });
    expect(users(then["room_members"].events)).toEqual(["@a:test"]);
    const page = await client.sync({ room_members: { p: { since: then["room"].rooms[id].members.p.next, limit: 9 } } }, { since: then.next });
    expect(users(page["room_members"].events)).toHaveLength(3);
  });

  it("D24: where the members cannot be fetched the room is left out, and starts when they are there", async () => {
    const { id, me, client } = room({ state: newRoom(ALICE), timeline: [ev.message(ALICE)] });
    const first = await client.sync({ room: { room_id: id, room_member_limit: 2 }, account_data: {} });
    expect(Object.keys(first).toSorted()).toEqual(["account_data", "next"]);
    routes.members(
      id,
      [ALICE, me].map((user) => ev.member(user)),
    );
    const then = await client.sync({}, { since: first.next });
    expect(then["room"].rooms[id].initial).toBe(true);
  });
});
