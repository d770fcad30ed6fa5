import { expect, it } from "vitest";
import { ev, type Json, newRoom, receipt, v2 } from "../support/fake-homeserver.ts";
import type { V3Client } from "../support/v3.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const A = "!a:test";
const B = "!b:test";
const C = "!c:test";
const BOB = "@bob:test";
const CHARLIE = "@charlie:test";

function login(userId: string): V3Client {
  return t.login(userId, "PHONE", v2({ join: { [A]: { state: newRoom(userId) }, [B]: { state: newRoom(userId) } } }));
}

const read = (room: string, ...receipts: Json[]) => v2({ join: { [room]: { ephemeral: receipts } } });
const edu = (content: Json) => ({ type: "m.receipt", content });
const ts = (n: number) => ({ ts: n });

it("receipts: one m.receipt EDU for the room, what is there first, then what changed", async () => {
  const user = login("@first:test");
  await user.sync();
  await t.deliver(
    user,
    read(A, receipt("$1", BOB, "m.read", ts(1)), receipt("$1", CHARLIE, "m.read", ts(2)), receipt("$2", "@dora:test", "m.read", ts(3))),
  );
  const first = await user.sync({ receipts: { room_id: A } });
  expect(first["receipts"]).toEqual({
    rooms: { [A]: edu({ $1: { "m.read": { [BOB]: ts(1), [CHARLIE]: ts(2) } }, $2: { "m.read": { "@dora:test": ts(3) } } }) },
  });
  await t.deliver(user, read(A, receipt("$2", BOB, "m.read", ts(4))));
  const second = await user.sync({}, { since: first.next });
  expect(second["receipts"]).toEqual({ rooms: { [A]: edu({ $2: { "m.read": { [BOB]: ts(4) } } }) } });
  expect(Object.keys(await user.sync({}, { since: second.next }))).toEqual(["next"]);
});

it("receipts: other users' private receipts never, the user's own always", async () => {
  const user = login("@private:test");
  const first = await user.sync({ receipts: { room_id: A } });
  expect(first["receipts"]).toEqual({ rooms: {} });
  const waiting = user.sync({}, { since: first.next, timeout: 10_000 });
  await t.deliver(user, read(A, receipt("$1", BOB, "m.read.private", ts(1))));
  await t.deliver(user, read(A, receipt("$2", user.userId, "m.read.private", ts(2))));
  const own = { rooms: { [A]: edu({ $2: { "m.read.private": { [user.userId]: ts(2) } } }) } };
  expect((await waiting)["receipts"]).toEqual(own);
  expect((await user.sync({ receipts: { room_id: A } }))["receipts"]).toEqual(own);
});

it("receipts: each thread has its own, and there are unthreaded ones too", async () => {
  const user = login("@threads:test");
  const first = await user.sync({ receipts: { room_id: A } });
  const inThread = (thread_id: string, n: number) => ({ ts: n, thread_id });
  await t.deliver(
    user,
    read(A, receipt("$1", BOB, "m.read", ts(1)), receipt("$2", BOB, "m.read", inThread("main", 2)), receipt("$3", BOB, "m.read", inThread("$t", 3))),
  );
  expect((await user.sync({}, { since: first.next }))["receipts"].rooms[A].content).toEqual({
    $1: { "m.read": { [BOB]: ts(1) } },
    $2: { "m.read": { [BOB]: inThread("main", 2) } },
    $3: { "m.read": { [BOB]: inThread("$t", 3) } },
  });
});

const UNTHREADED = receipt("$1", BOB, "m.read", ts(1));
const THREADED = receipt("$1", BOB, "m.read", { ts: 2, thread_id: "main" });

it.each([
  ["unthreaded first", UNTHREADED, THREADED],
  ["threaded first", THREADED, UNTHREADED],
])("T9: of two receipts on one event a single answer has the unthreaded one, however it comes about (%s)", async (order, early, late) => {
  const user = login(`@both-${order.replace(" ", "-")}:test`);
  const first = await user.sync({ receipts: { room_id: A } });
  const content = async (since?: string) =>
    (await user.sync(since === undefined ? { receipts: { room_id: A } } : {}, since === undefined ? {} : { since }))["receipts"]?.rooms[A].content;
  await t.deliver(user, read(A, early));
  expect(await content(first.next)).toEqual(early["content"]);
  await t.deliver(user, read(A, late));
  // A retry has both, and a fresh session, too.
  expect([await content(first.next), await content()]).toEqual([UNTHREADED["content"], UNTHREADED["content"]]);
});

it("T9: a receipt that comes after the other one was sent is sent apart, in either order", async () => {
  const user = login("@apart:test");
  const first = await user.sync({ receipts: { room_id: A } });
  const inThread = receipt("$2", BOB, "m.read", { ts: 3, thread_id: "main" });
  const plain = receipt("$2", BOB, "m.read", ts(4));
  let since = first.next;
  for (const one of [UNTHREADED, THREADED, inThread, plain]) {
    await t.deliver(user, read(A, one));
    const answer = await user.sync({}, { since });
    expect(answer["receipts"].rooms[A].content).toEqual(one["content"]);
    since = answer.next;
  }
});

it("receipts D13 I9: another room starts in full; receipts elsewhere do not wake", async () => {
  const user = login("@switch:test");
  const first = await user.sync({ receipts: { room_id: A } });
  await t.deliver(user, read(B, receipt("$b", BOB, "m.read", ts(1))));
  const second = await user.sync({}, { since: first.next });
  expect(Object.keys(second)).toEqual(["next"]);
  const third = await user.sync({ receipts: { room_id: B } }, { since: second.next });
  expect(third["receipts"].rooms[B].content).toEqual({ $b: { "m.read": { [BOB]: ts(1) } } });
});

it('receipts: "room_list" is every room that stream tracks, each whole when it enters', async () => {
  const user = login("@list:test");
  await user.sync();
  await t.deliver(user, read(A, receipt("$a", BOB, "m.read", ts(1))));
  const first = await user.sync({ room_list: {}, receipts: { room_id: "room_list" } });
  expect(Object.keys(first["receipts"].rooms)).toEqual([A]);
  await t.deliver(user, read(B, receipt("$b", BOB, "m.read", ts(2))));
  const second = await user.sync({}, { since: first.next });
  expect(Object.keys(second)).toEqual(["receipts", "next"]);
  expect(Object.keys(second["receipts"].rooms)).toEqual([B]);
  await t.deliver(
    user,
    v2({ join: { [C]: { state: newRoom(BOB), timeline: [ev.member(user.userId)], ephemeral: [receipt("$c", BOB, "m.read", ts(3))] } } }),
  );
  expect(Object.keys((await user.sync({}, { since: second.next }))["receipts"].rooms)).toEqual([C]);
});

it("receipts D18: a room that the user is not in, or leaves, holds M_FORBIDDEN, once", async () => {
  const user = login("@d18:test");
  const first = await user.sync({ receipts: { room_id: C } });
  expect(first["receipts"].errcode).toBe("M_FORBIDDEN");
  const second = await user.sync({ receipts: { room_id: A } }, { since: first.next });
  await t.deliver(user, v2({ leave: { [A]: { timeline: [ev.member(user.userId, "leave")] } } }));
  const third = await user.sync({}, { since: second.next });
  expect(third["receipts"].errcode).toBe("M_FORBIDDEN");
  expect(Object.keys(await user.sync({}, { since: third.next }))).toEqual(["next"]);
});

it("I8 receipts: the same receipt again is no news", async () => {
  const user = login("@same:test");
  const first = await user.sync({ receipts: { room_id: A } });
  await t.deliver(user, read(A, receipt("$1", BOB, "m.read", ts(1))));
  const second = await user.sync({}, { since: first.next });
  await t.deliver(user, read(A, receipt("$1", BOB, "m.read", ts(1))));
  expect(Object.keys(await user.sync({}, { since: second.next }))).toEqual(["next"]);
});
