/** Tests of the first implementation that no other file here covers, from the outside. */

import { beforeAll, expect, it } from "vitest";
import { ev, type MatrixEvent, newRoom, v2 } from "../support/fake-homeserver.ts";
import { serveMembers } from "../support/scene.ts";
import type { Answer, V3Client } from "../support/v3.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();
beforeAll(() => {
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/messages", { body: { chunk: [], start: "p" } });
});

const BOB = "@bob:test";
const room = (answer: Answer, id: string) => answer["room"]?.rooms[id];
const ids = (events: readonly MatrixEvent[] | undefined) => (events ?? []).map((event) => event.event_id);
const timeline = (answer: Answer, id: string) => ids(room(answer, id)?.timeline?.events);
const say = (id: string, ...events: MatrixEvent[]) => v2({ join: { [id]: { timeline: events } } });
const follow = (id: string) => ({ room: { room_id: id } });

function login(userId: string, ...rooms: string[]): V3Client {
  const join = Object.fromEntries(rooms.map((id) => [id, { state: [...newRoom(BOB), ev.member(userId)] }]));
  return t.login(userId, "PHONE", v2({ join }));
}

it("TestPollerMapEnsurePollingIdempotent: however many requests come, a device is polled once at a time", async () => {
  const user = login("@once:test", "!o:test");
  await Promise.all(Array.from({ length: 20 }, () => user.sync({ to_device: {} })));
  await t.hs.waitForPoll(user.token);
  await Promise.all(Array.from({ length: 20 }, () => user.sync({ typing: { room_id: "!o:test" } })));
  await t.deliver(user, v2(), v2());
  expect(t.hs.peakPolls(user.token)).toBe(1);
});

it("TestAccumulatorDelta: a timeline from the creation on is sent in full, or its newest with a limit, and older state before it", async () => {
  const user = t.login("@delta:test");
  await user.sync();
  const events = [...newRoom(BOB), ev.member("@delta:test"), ev.message(BOB)];
  await t.deliver(user, say("!d:test", ...events));
  const full = await user.sync(follow("!d:test"));
  expect(timeline(full, "!d:test")).toEqual(ids(events));
  expect(room(full, "!d:test")).toMatchObject({ state: { events: [] }, timeline: { limited: false } });
  const newest = await user.sync({ room: { room_id: "!d:test", timeline_limit: 1 } });
  expect(timeline(newest, "!d:test")).toEqual(ids(events.slice(-1)));
  expect(ids(room(newest, "!d:test").state.events).toSorted()).toEqual(ids([...newRoomOf(events)]).toSorted());
});

/** State events of a timeline, except members. */
function newRoomOf(events: readonly MatrixEvent[]): MatrixEvent[] {
  return events.filter((event) => event.state_key !== undefined && event.type !== "m.room.member");
}

it("TestEventTableSelectEventsBetween: between two tokens, the earlier one's excluded, the later one's included, of that room alone", async () => {
  const user = login("@between:test", "!b:test", "!c:test");
  const first = await user.sync(follow("!b:test"));
  const [a, b, c, other] = [ev.message(BOB), ev.message(BOB), ev.message(BOB), ev.message(BOB)];
  await t.deliver(user, say("!b:test", a), say("!c:test", other), say("!b:test", b));
  const second = await user.sync({}, { since: first.next });
  expect(timeline(second, "!b:test")).toEqual(ids([a, b]));
  await t.deliver(user, say("!b:test", c));
  expect(timeline(await user.sync({}, { since: second.next }), "!b:test")).toEqual(ids([c]));
  expect(timeline(await user.sync({}, { since: first.next }), "!b:test")).toEqual(ids([a, b, c]));
  const limited = await user.sync({ room: { timeline_limit: 2 } }, { since: first.next });
  expect(timeline(limited, "!b:test")).toEqual(ids([b, c]));
  expect(room(limited, "!b:test").timeline.limited).toBe(true);
});

it("TestMembershipLogTable: member changes between two tokens, of that room alone, and none where there was none", async () => {
  const user = login("@log:test", "!l:test", "!m:test");
  serveMembers(t, "!l:test", [ev.member(BOB), ev.member("@log:test")]);
  const ask = { room_members: { room_id: "!l:test", membership: ["join", "leave"] } };
  const first = await user.sync(ask);
  const [join, rename, leave] = [ev.member("@dora:test"), ev.member("@dora:test", "join", { displayname: "D" }), ev.member("@dora:test", "leave")];
  await t.deliver(user, say("!l:test", join), say("!m:test", ev.member("@eve:test")), say("!l:test", rename));
  const second = await user.sync({}, { since: first.next });
  expect(ids(second["room_members"].events)).toEqual(ids([join, rename]));
  await t.deliver(user, say("!m:test", ev.member("@eve:test", "leave")));
  const third = await user.sync({}, { since: second.next });
  expect(Object.keys(third)).toEqual(["next"]);
  await t.deliver(user, say("!l:test", leave));
  expect(ids((await user.sync({}, { since: third.next }))["room_members"].events)).toEqual(ids([leave]));
  expect(ids((await user.sync({}, { since: first.next }))["room_members"].events)).toEqual(ids([join, rename, leave]));
});

it("TestVisibleEventNIDsBetween: of a room that was left and joined again, what the homeserver showed, and nothing between", async () => {
  const user = login("@visible:test", "!v:test");
  const list = { room_list: {}, room: { room_id: "room_list" } };
  const first = await user.sync(list);
  const [before, after] = [ev.message(BOB, "before"), ev.message(BOB, "after")];
  const [leave, join] = [ev.member("@visible:test", "leave"), ev.member("@visible:test")];
  await t.deliver(user, say("!v:test", before), v2({ leave: { "!v:test": { timeline: [leave] } } }));
  const second = await user.sync({}, { since: first.next });
  expect(timeline(second, "!v:test")).toEqual(ids([before, leave]));
  // The homeserver does not show what was said meanwhile.
  await t.deliver(
    user,
    v2({ join: { "!v:test": { state: newRoom(BOB), timeline: [join], limited: true, prev_batch: "p" } } }),
    say("!v:test", after),
  );
  const third = await user.sync({}, { since: second.next });
  expect(room(third, "!v:test")).toMatchObject({ initial: true, timeline: { limited: true } });
  expect(timeline(third, "!v:test")).toEqual(ids([join, after]));
});
