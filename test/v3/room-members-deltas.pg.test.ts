import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ev, type Json, type MatrixEvent, newRoom, toDevice, v2 } from "../support/fake-homeserver.ts";
import { ids, memberships, RoomRoutes, users } from "../support/rooms.ts";
import { startV3, type V3Client, type V3Fixture } from "../support/v3.ts";

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

/** A room with ALICE and a new user; `list` changes the answer of /members. */
function room(extra: MatrixEvent[] = []) {
  rooms += 1;
  const id = `!deltas${rooms}:test`;
  const me = `@me${rooms}:test`;
  const list = [...newRoom(ALICE).filter((event) => event.type === "m.room.member"), ev.member(me), ...extra];
  routes.members(id, () => list);
  const state = newRoom(ALICE).filter((event) => event.type !== "m.room.member");
  const client = t.login(me, "PHONE", v2({ join: { [id]: { state: [...state, ...list], timeline: [ev.message(ALICE)] } } }));
  return { id, me, list, client };
}

const joins = (id: string, ...events: Json[]) => v2({ join: { [id]: { timeline: events } } });
const start = (client: V3Client, id: string, more: Json = {}) => client.sync({ room_members: { room_id: id, ...more } });

describe("TestHandlerRoomMember", () => {
  it("TestHandlerRoomMember S3 B47: chronological deltas with a token, and nothing after them", async () => {
    const { id, client } = room();
    const first = await start(client, id);
    await t.deliver(client, joins(id, ev.member("@charlie:test")));
    const one = await client.sync({}, { since: first.next });
    expect(memberships(one["room_members"].events)).toEqual(["@charlie:test: join"]);
    await t.deliver(client, joins(id, ev.member("@eve:test"), ev.message(ALICE)), joins(id, ev.member("@doris:test"), ev.message(ALICE)));
    const two = await client.sync({}, { since: one.next });
    expect(memberships(two["room_members"].events)).toEqual(["@eve:test: join", "@doris:test: join"]);
    expect(await client.sync({}, { since: two.next })).toEqual({ next: expect.any(String) });
  });

  it("TestHandlerRoomMember S3 I4: 'limit' on deltas: the rest comes at once with the next token", async () => {
    const { id, client } = room();
    const first = await start(client, id, { p: { limit: 2 } });
    await t.deliver(client, joins(id, ev.member("@charlie:test"), ev.member("@doris:test"), ev.member(BOB)));
    const one = await client.sync({}, { since: first.next });
    expect(users(one["room_members"].events)).toEqual(["@charlie:test", "@doris:test"]);
    const two = await client.sync({}, { since: one.next, timeout: 30_000 });
    expect(users(two["room_members"].events)).toEqual([BOB]);
    expect(await client.sync({}, { since: two.next })).toEqual({ next: expect.any(String) });
    // D10: the same token gets the same data.
    expect(users((await client.sync({}, { since: one.next }))["room_members"].events)).toEqual([BOB]);
  });
});

describe("deltas", () => {
  it("S3: every event of who is or was of the memberships asked for, in order; others are no news", async () => {
    const { id, client } = room([ev.member(BOB)]);
    const first = await start(client, id, { membership: ["join"] });
    const renamed = ev.member(BOB, "join", { displayname: "Bob" });
    const left = ev.member(BOB, "leave");
    const invited = ev.member(BOB, "invite", {}, { sender: ALICE });
    const joined = ev.member(BOB);
    await t.deliver(client, joins(id, ev.member("@n:test", "invite", {}, { sender: ALICE }), renamed, left, invited, joined));
    const delta = await client.sync({}, { since: first.next });
    expect(ids(delta["room_members"].events)).toEqual([renamed.event_id, left.event_id, joined.event_id]);
  });

  it("D7 I9: a message does not wake a client that follows members", async () => {
    const { id, client } = room();
    const first = await start(client, id);
    const waiting = client.sync({}, { since: first.next, timeout: 30_000 });
    await t.deliver(client, joins(id, ev.message(ALICE)), joins(id, ev.member(BOB)));
    const delta = await waiting;
    expect(Object.keys(delta).toSorted()).toEqual(["next", "room_members"]);
    expect(users(delta["room_members"].events)).toEqual([BOB]);
  });

  it("B36 B34: an event that comes twice, in state and timeline and again later, is one change", async () => {
    const { id, client } = room();
    const first = await start(client, id);
    const joined = ev.member(BOB);
    await t.deliver(client, v2({ join: { [id]: { state: [joined], timeline: [joined, joined] } } }), joins(id, joined));
    const delta = await client.sync({}, { since: first.next });
    expect(ids(delta["room_members"].events)).toEqual([joined.event_id]);
  });

  it("B42: a member that lazy loading sends late is no change", async () => {
    const { id, client } = room([ev.member(BOB)]);
    const first = await start(client, id);
    const bob = first["room_members"].events.find((event: MatrixEvent) => event.state_key === BOB);
    await t.deliver(client, v2({ join: { [id]: { state: [bob], timeline: [ev.message(BOB)] } } }));
    expect(await client.sync({}, { since: first.next })).toEqual({ next: expect.any(String) });
  });
});

describe("the full list", () => {
  it("S3: is asked for once where v2 loads lazily, and pages hold it", async () => {
    const { id, client } = room(Array.from({ length: 120 }, (_, n) => ev.member(`@u${n}:test`)));
    const first = await start(client, id, { p: { limit: 1000 } });
    expect(first["room_members"].events).toHaveLength(122);
    await start(client, id);
    expect(routes.asked("members", id)).toHaveLength(1);
  });

  it("S3 TestClientsSeeMembershipTransitionsInGappyPolls: gaps are filled: members who joined or left in one are sent", async () => {
    const { id, me, list, client } = room([ev.member(BOB), ev.member("@stay:test")]);
    const first = await start(client, id);
    const waiting = client.sync({}, { since: first.next, timeout: 30_000 });
    const left = ev.member(BOB, "leave");
    const carl = ev.member("@carl:test");
    list.splice(
      list.findIndex((event) => event.state_key === BOB),
      1,
      left,
    );
    list.push(carl);
    await t.deliver(client, v2({ join: { [id]: { limited: true, prev_batch: "p2", timeline: [ev.message(ALICE)] } } }));
    const delta = await waiting;
    expect(memberships(delta["room_members"].events).toSorted()).toEqual(["@bob:test: leave", "@carl:test: join"]);
    const fresh = await start(client, id, { membership: ["join"], p: { sort: "by_name" } });
    expect(users(fresh["room_members"].events)).toEqual([ALICE, "@carl:test", me, "@stay:test"]);
  });

  it("S3: filling a gap in which no member joined or left wakes no request", async () => {
    const { id, client } = room([ev.member(BOB)]);
    const first = await start(client, id);
    const waiting = client.sync({}, { since: first.next, timeout: 30_000 });
    await t.deliver(client, v2({ join: { [id]: { limited: true, prev_batch: "p2", timeline: [ev.message(ALICE)] } } }));
    await t.hs.waitForRequest({ path: /\/members$/, where: (request) => request.params["room"] === id }, 2);
    await t.deliver(client, joins(id, ev.member("@new:test")));
    expect(users((await waiting)["room_members"].events)).toEqual(["@new:test"]);
  });

  it("S3: v2's member count that does not add up has the list fetched again", async () => {
    const { id, list, client } = room([ev.member(BOB)]);
    const first = await start(client, id);
    list.push(ev.member("@unseen:test"));
    await t.deliver(client, v2({ join: { [id]: { timeline: [ev.message(ALICE)], summary: { "m.joined_member_count": 4 } } } }));
    expect(users((await client.sync({}, { since: first.next }))["room_members"].events)).toEqual(["@unseen:test"]);
  });

  it("D24: a list that cannot be fetched leaves the stream out; it starts by itself when it is there", async () => {
    const { id, client } = room([ev.member(BOB)]);
    t.hs.fail({ path: /\/members$/, where: (request) => request.params["room"] === id }, { status: 500, body: {} });
    const first = await client.sync({ room_members: { room_id: id }, account_data: {} });
    expect(Object.keys(first).toSorted()).toEqual(["account_data", "next"]);
    const then = await client.sync({}, { since: first.next });
    expect(users(then["room_members"].events)).toContain(BOB);
    expect(then["room_members"].p).toEqual({ limit: 50, sort: "by_pl" });
  });

  it("D24: a gap whose list cannot be fetched loses nothing", async () => {
    const { id, list, client } = room([ev.member(BOB)]);
    const first = await start(client, id);
    list.push(ev.member("@unseen:test"));
    t.hs.fail({ path: /\/members$/, where: (request) => request.params["room"] === id }, { status: 500, body: {} });
    await t.deliver(client, v2({ join: { [id]: { limited: true, prev_batch: "p2", timeline: [ev.member("@seen:test")] } } }));
    list.push(ev.member("@seen:test"));
    const nothing = await client.sync({}, { since: first.next });
    expect(nothing).toEqual({ next: expect.any(String) });
    const delta = await client.sync({}, { since: nothing.next });
    expect(users(delta["room_members"].events)).toEqual(expect.arrayContaining(["@seen:test", "@unseen:test"]));
  });
});

it("S3 D19: a list that is fetched while to-device messages hold the other streams back is sent in full", async () => {
  rooms += 1;
  const id = `!deltas${rooms}:test`;
  const me = `@me${rooms}:test`;
  const lazy = newRoom(ALICE).filter((event) => event.type !== "m.room.member");
  routes.members(
    id,
    [ALICE, me, "@lazy:test"].map((user) => ev.member(user)),
  );
  const client = t.login(me, "PHONE", v2({ join: { [id]: { state: lazy, timeline: [ev.member(me)] } } }));
  const first = await client.sync({ to_device: { limit: 1 } });
  await t.deliver(
    client,
    v2({ to_device: [toDevice(ALICE)] }),
    v2({ to_device: [toDevice(ALICE)], join: { [id]: { timeline: [ev.message(ALICE)] } } }),
  );
  const told: MatrixEvent[] = [];
  let answer = await client.sync({ room_members: { room_id: id } }, { since: first.next });
  told.push(...(answer["room_members"]?.events ?? []));
  for (let n = 0; n < 3; n++) {
    answer = await client.sync({}, { since: answer.next });
    told.push(...(answer["room_members"]?.events ?? []));
  }
  expect(users(told).toSorted()).toEqual([ALICE, "@lazy:test", me].toSorted());
});

describe("authorisation", () => {
  it("D18 B41: a room that the user is not in is forbidden alone, sent once; a join starts it", async () => {
    const { id, me, client } = room();
    const other = `${id}-other`;
    routes.members(other, [ev.member(ALICE), ev.member(me)]);
    const first = await client.sync({ room_members: { room_id: other }, account_data: {} });
    expect(first["room_members"]).toEqual({ errcode: "M_FORBIDDEN", error: expect.any(String) });
    expect(first["account_data"]).toBeDefined();
    const waiting = client.sync({}, { since: first.next, timeout: 30_000 });
    await t.deliver(client, joins(id, ev.member(BOB)), v2({ invite: { [other]: [ev.member(me, "invite", {}, { sender: ALICE })] } }));
    await t.deliver(client, v2({ join: { [other]: { state: newRoom(ALICE), timeline: [ev.member(me)] } } }));
    const then = await waiting;
    expect(users(then["room_members"].events)).toEqual([ALICE, me]);
    expect(then["room_members"]).not.toHaveProperty("errcode");
  });

  for (const [how, sender, membership] of [
    ["leaving", "me", "leave"],
    ["a kick", ALICE, "leave"],
    ["a ban", ALICE, "ban"],
  ] as const) {
    it(`D18 B39: after ${how} a last update has the own leave event, then nothing, until a join`, async () => {
      const { id, me, client } = room();
      const first = await start(client, id);
      const left = ev.member(me, membership, {}, { sender: sender === "me" ? me : sender });
      await t.deliver(client, v2({ leave: { [id]: { timeline: [ev.member(BOB), left] } } }));
      const last = await client.sync({}, { since: first.next });
      expect(users(last["room_members"].events)).toEqual([BOB, me]);
      expect(last["room_members"].events.at(-1).event_id).toBe(left.event_id);
      expect(last["room_members"].errcode).toBe("M_FORBIDDEN");
      expect(await client.sync({}, { since: last.next })).toEqual({ next: expect.any(String) });
      await t.deliver(client, v2({ join: { [id]: { state: newRoom(ALICE), timeline: [ev.member(me)] } } }));
      const again = await client.sync({}, { since: last.next, timeout: 30_000 });
      expect(again["room_members"].p).toEqual({ limit: 50, sort: "by_pl" });
      expect(users(again["room_members"].events)).toEqual([ALICE, me]);
    });
  }

  it("D18 I4: what a limit held back of a room that was left is still sent, with the user's leave last", async () => {
    const { id, me, client } = room();
    const first = await start(client, id, { p: { limit: 2 } });
    await t.deliver(
      client,
      v2({ leave: { [id]: { timeline: [ev.member("@a:test"), ev.member("@b:test"), ev.member("@c:test"), ev.member(me, "leave")] } } }),
    );
    const one = await client.sync({}, { since: first.next });
    expect(users(one["room_members"].events)).toEqual(["@a:test", "@b:test"]);
    const two = await client.sync({}, { since: one.next, timeout: 30_000 });
    expect(users(two["room_members"].events)).toEqual(["@c:test", me]);
    expect(two["room_members"].errcode).toBe("M_FORBIDDEN");
    expect(await client.sync({}, { since: two.next })).toEqual({ next: expect.any(String) });
  });

  it("D18: leaving and joining again between two requests starts the stream from scratch", async () => {
    const { id, me, client } = room([ev.member(BOB)]);
    const first = await start(client, id);
    await t.deliver(client, v2({ leave: { [id]: { timeline: [ev.member(me, "leave")] } } }));
    routes.members(id, [ev.member(ALICE), ev.member(me)]);
    await t.deliver(client, v2({ join: { [id]: { state: newRoom(ALICE), timeline: [ev.member(me)] } } }));
    const again = await client.sync({}, { since: first.next });
    expect(users(again["room_members"].events)).toEqual([ALICE, me]);
    expect(again["room_members"].p).toEqual({ limit: 50, sort: "by_pl" });
  });

  it("D18 D14: a page of a room that was left meanwhile is forbidden", async () => {
    const { id, me, client } = room([ev.member(BOB)]);
    const first = await start(client, id, { p: { limit: 1 } });
    await t.deliver(client, v2({ leave: { [id]: { timeline: [ev.member(me, "leave")] } } }));
    const page = await client.sync({ room_members: { p: { since: first["room_members"].p.next } } }, { since: first.next });
    expect(page).toEqual({ room_members: { errcode: "M_FORBIDDEN", error: expect.any(String) }, next: first.next });
  });
});
