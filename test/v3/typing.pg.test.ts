import { expect, it } from "vitest";
import { ev, newRoom, typing, v2 } from "../support/fake-homeserver.ts";
import type { Answer, V3Client } from "../support/v3.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const A = "!a:test";
const B = "!b:test";
const C = "!c:test";
const BOB = "@bob:test";
const CHARLIE = "@charlie:test";

/** A user in rooms A and B, in which nobody types yet. */
function login(userId: string): V3Client {
  const room = (name: string) => ({ state: newRoom(userId), timeline: [ev.name(userId, name)] });
  return t.login(userId, "PHONE", v2({ join: { [A]: room("A"), [B]: room("B") } }));
}

const types = (room: string, ...users: string[]) => v2({ join: { [room]: { ephemeral: [typing(...users)] } } });
const edu = (room: string, ...users: string[]) => ({ type: "m.typing", room_id: room, content: { user_ids: users } });
const events = (answer: Answer): unknown => answer["typing"]?.events;

it("TestHandler: typing is sticky, and wakes a request that waits", async () => {
  const alice = login("@alice:test");
  const first = await alice.sync({ typing: { room_id: A } }, { timeout: 1000 });
  // A stream is present in its first answer even if it is empty (D8); the original implementation left it out.
  expect(events(first)).toEqual([]);
  await t.deliver(alice, types(A, BOB));
  const second = await alice.sync({}, { since: first.next, timeout: 1000 });
  expect(events(second)).toEqual([edu(A, BOB)]);
  const waiting = alice.sync({}, { since: second.next, timeout: 10_000 });
  await t.deliver(alice, types(A, CHARLIE));
  expect(events(await waiting)).toEqual([edu(A, CHARLIE)]);
});

it("R5 R14 R22 S1: the request's room_id chooses the room; events are m.typing EDUs with room_id and the full present set", async () => {
  const user = login("@s1:test");
  const first = await user.sync({ typing: { room_id: A } });
  await t.deliver(user, types(A, BOB), types(A, BOB, CHARLIE));
  const second = await user.sync({}, { since: first.next });
  expect(second["typing"]).toEqual({ events: [edu(A, BOB, CHARLIE)] });
});

it("S1: an empty set when the last one stops; then nothing", async () => {
  const user = login("@s1stop:test");
  const first = await user.sync({ typing: { room_id: A } });
  await t.deliver(user, types(A, BOB));
  const second = await user.sync({}, { since: first.next });
  await t.deliver(user, types(A));
  const third = await user.sync({}, { since: second.next });
  expect(events(third)).toEqual([edu(A)]);
  const fourth = await user.sync({}, { since: third.next });
  expect(Object.keys(fourth)).toEqual(["next"]);
});

it("S1: a first request gets the present set if anyone is typing, else an empty list", async () => {
  const user = login("@s1first:test");
  const other = await user.sync({ e2ee: {} });
  await t.deliver(user, types(A, BOB));
  expect(events(await user.sync({ typing: { room_id: A } }))).toEqual([edu(A, BOB)]);
  await t.deliver(user, types(A));
  expect(events(await user.sync({ typing: { room_id: A } }))).toEqual([]);
  expect(events(await user.sync({ typing: { room_id: A } }, { since: other.next })), "in mid-session as well (D13)").toEqual([]);
});

it("S1 B53: the same set again is no news, in whatever order", async () => {
  const user = login("@s1same:test");
  const first = await user.sync({ typing: { room_id: A } });
  await t.deliver(user, types(A, BOB, CHARLIE));
  const second = await user.sync({}, { since: first.next });
  const waiting = user.sync({}, { since: second.next, timeout: 10_000 });
  await t.deliver(user, types(A, CHARLIE, BOB), types(B, BOB));
  await t.deliver(user, types(A, BOB));
  expect(events(await waiting)).toEqual([edu(A, BOB)]);
});

it("B54 D13: another room starts with its present set, though that is older than the token", async () => {
  const user = login("@b54:test");
  const first = await user.sync({ typing: { room_id: A } });
  await t.deliver(user, types(B, BOB));
  const second = await user.sync({}, { since: first.next });
  expect(Object.keys(second), "room B is not followed yet").toEqual(["next"]);
  const third = await user.sync({ typing: { room_id: B } }, { since: second.next });
  expect(events(third)).toEqual([edu(B, BOB)]);
  const fourth = await user.sync({ typing: { room_id: A } }, { since: third.next });
  expect(events(fourth), "present although empty: it starts").toEqual([]);
  await t.deliver(user, types(B));
  expect(Object.keys(await user.sync({}, { since: fourth.next }))).toEqual(["next"]);
});

it("S1 I9: typing in another room does not wake", async () => {
  const user = login("@s1wake:test");
  const first = await user.sync({ typing: { room_id: A } });
  let done = false;
  const waiting = user.sync({}, { since: first.next, timeout: 10_000 }).finally(() => (done = true));
  await t.deliver(user, types(B, BOB));
  await t.deliver(user, v2({ join: { [A]: { timeline: [ev.message(BOB)] } } }));
  expect(done).toBe(false);
  await t.deliver(user, types(A, CHARLIE));
  expect(events(await waiting)).toEqual([edu(A, CHARLIE)]);
});

it("D10 S1: an old token gets the newest set, not those between", async () => {
  const user = login("@d10:test");
  const first = await user.sync({ typing: { room_id: A } });
  await t.deliver(user, types(A, BOB));
  const second = await user.sync({}, { since: first.next });
  await t.deliver(user, types(A, CHARLIE));
  await user.sync({}, { since: second.next });
  expect(events(await user.sync({}, { since: first.next }))).toEqual([edu(A, CHARLIE)]);
});

it("D18 S1: after leaving an empty set, then nothing; a join starts it by itself", async () => {
  const user = login("@d18:test");
  const first = await user.sync({ typing: { room_id: A } });
  await t.deliver(user, types(A, BOB));
  const second = await user.sync({}, { since: first.next });
  const leave = ev.member(user.userId, "leave");
  await t.deliver(user, v2({ leave: { [A]: { timeline: [leave] } } }));
  const third = await user.sync({}, { since: second.next });
  expect(third["typing"]).toMatchObject({ events: [edu(A)], errcode: "M_FORBIDDEN" });
  const fourth = await user.sync({}, { since: third.next });
  expect(Object.keys(fourth)).toEqual(["next"]);
  const waiting = user.sync({}, { since: fourth.next, timeout: 10_000 });
  await t.deliver(user, v2({ join: { [A]: { state: newRoom(BOB), timeline: [ev.member(user.userId)], ephemeral: [typing(CHARLIE)] } } }));
  expect((await waiting)["typing"]).toEqual({ events: [edu(A, CHARLIE)] });
});

it("D18 B41: a room that the user is not in holds M_FORBIDDEN, once, and the other streams continue", async () => {
  const user = login("@d18b:test");
  const first = await user.sync({ typing: { room_id: C }, account_data: {} });
  expect(first["typing"]).toEqual({ errcode: "M_FORBIDDEN", error: expect.any(String) as string });
  expect(first["account_data"]).toEqual({ global: [], rooms: {} });
  expect(Object.keys(await user.sync({}, { since: first.next }))).toEqual(["next"]);
});

it('S1 S5: "room_list" follows every room that the list tracks, and those that join it', async () => {
  const user = login("@s1list:test");
  await user.sync();
  await t.deliver(user, types(A, BOB));
  const first = await user.sync({ room_list: {}, typing: { room_id: "room_list" } });
  expect(events(first)).toEqual([edu(A, BOB)]);
  await t.deliver(user, types(B, CHARLIE));
  const second = await user.sync({}, { since: first.next });
  expect(second).toEqual({ typing: { events: [edu(B, CHARLIE)] }, next: expect.any(String) as string });
  await t.deliver(user, v2({ join: { [C]: { state: newRoom(BOB), timeline: [ev.member(user.userId)], ephemeral: [typing(BOB)] } } }));
  const third = await user.sync({}, { since: second.next });
  expect(events(third)).toEqual([edu(C, BOB)]);
  await t.deliver(user, v2({ leave: { [C]: { timeline: [ev.member(user.userId, "leave")] } } }));
  const fourth = await user.sync({}, { since: third.next });
  expect(events(fourth)).toEqual([edu(C)]);
  expect(fourth["room_list"].removed).toEqual([C]);
});

it("S1: without room_id nothing is followed", async () => {
  const user = login("@s1none:test");
  const first = await user.sync({ typing: {} });
  expect(first["typing"]).toEqual({ events: [] });
  await t.deliver(user, types(A, BOB));
  expect(Object.keys(await user.sync({}, { since: first.next }))).toEqual(["next"]);
});

it("I7 S1: two users of a room each see what their own v2 said", async () => {
  const [one, two] = [login("@i7one:test"), login("@i7two:test")];
  const ask = { typing: { room_id: A } };
  const [first1, first2] = [await one.sync(ask), await two.sync(ask)];
  await t.deliver(one, types(A, BOB));
  await t.deliver(two, types(A, CHARLIE));
  expect(events(await one.sync({}, { since: first1.next }))).toEqual([edu(A, BOB)]);
  expect(events(await two.sync({}, { since: first2.next }))).toEqual([edu(A, CHARLIE)]);
});

it("TestTypingMultiplePoller S1: of two devices of a user only one is polled with rooms, and both get the same typing", async () => {
  const phone = login("@multi:test");
  const first = await phone.sync({ typing: { room_id: A } });
  const tablet = t.login("@multi:test", "TABLET", v2({ join: { [A]: { ephemeral: [typing(CHARLIE)] } } }));
  const onTablet = await tablet.sync({ typing: { room_id: A } });
  await t.hs.waitForPoll(tablet.token);
  await t.deliver(phone, types(A, BOB));
  expect(events(await phone.sync({}, { since: first.next }))).toEqual([edu(A, BOB)]);
  expect(events(await tablet.sync({}, { since: onTablet.next }))).toEqual([edu(A, BOB)]);
  for (const poll of t.hs.polls(tablet.token)) expect(JSON.parse(poll.query.get("filter") ?? "{}")).toMatchObject({ room: { rooms: [] } });
});

it("D22 S1: who types is still known after a restart, and is sent once", async () => {
  const user = login("@restart:test");
  const first = await user.sync({ typing: { room_id: A } });
  await t.deliver(user, types(A, BOB));
  const second = await user.sync({}, { since: first.next });
  await t.restart();
  expect(Object.keys(await user.sync({}, { since: second.next }))).toEqual(["next"]);
  expect(events(await user.sync({}, { since: first.next }))).toEqual([edu(A, BOB)]);
});
