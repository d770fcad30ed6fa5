import { expect, it } from "vitest";
import { ev, type Json, newRoom, v2 } from "../support/fake-homeserver.ts";
import type { V3Client } from "../support/v3.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const A = "!a:test";
const B = "!b:test";
const data = (type: string, content: Json = {}): Json => ({ type, content });
const global = (...events: Json[]) => v2({ account_data: events });
const ofRoom = (room: string, ...events: Json[]) => v2({ join: { [room]: { account_data: events } } });

function login(userId: string): V3Client {
  const room = (tag: string) => ({
    state: newRoom(userId),
    account_data: [data("m.tag", { tags: { [tag]: {} } }), data("m.fully_read", { event_id: "$x" })],
  });
  return t.login(
    userId,
    "PHONE",
    v2({ join: { [A]: room("u.a"), [B]: room("u.b") }, account_data: [data("m.push_rules", { v: 1 }), data("m.direct", {})] }),
  );
}

it("account_data: all global events first, rooms' only where they are asked for", async () => {
  const user = login("@first:test");
  const first = await user.sync({ account_data: {} });
  expect(first["account_data"]).toEqual({ global: [data("m.direct", {}), data("m.push_rules", { v: 1 })], rooms: {} });
  await t.deliver(user, ofRoom(A, data("m.tag", { tags: {} })));
  expect(Object.keys(await user.sync({}, { since: first.next }))).toEqual(["next"]);
});

it("account_data: then the latest of each type that changed; the same again is no news", async () => {
  const user = login("@then:test");
  const first = await user.sync({ account_data: {} });
  await t.deliver(user, global(data("m.push_rules", { v: 2 })), global(data("m.push_rules", { v: 3 }), data("m.new", {})));
  const second = await user.sync({}, { since: first.next });
  expect(second["account_data"]).toEqual({ global: [data("m.new", {}), data("m.push_rules", { v: 3 })] });
  const waiting = user.sync({}, { since: second.next, timeout: 10_000 });
  await t.deliver(user, global(data("m.push_rules", { v: 3 })));
  await t.deliver(user, global(data("m.push_rules", {})));
  expect((await waiting)["account_data"]).toEqual({ global: [data("m.push_rules", {})] });
});

it("account_data: a list of rooms, and global false", async () => {
  const user = login("@rooms:test");
  const first = await user.sync({ account_data: { global: false, rooms: [B] } });
  expect(first["account_data"]).toEqual({ rooms: { [B]: [data("m.fully_read", { event_id: "$x" }), data("m.tag", { tags: { "u.b": {} } })] } });
  await t.deliver(user, global(data("m.x")), ofRoom(A, data("m.x")));
  const second = await user.sync({}, { since: first.next });
  expect(Object.keys(second)).toEqual(["next"]);
  await t.deliver(user, ofRoom(B, data("m.x", { n: 1 })));
  expect((await user.sync({}, { since: second.next }))["account_data"]).toEqual({ rooms: { [B]: [data("m.x", { n: 1 })] } });
});

it("account_data D13: another selection starts it from scratch", async () => {
  const user = login("@selects:test");
  const first = await user.sync({ account_data: {} });
  const second = await user.sync({ account_data: { global: false, rooms: [A] } }, { since: first.next });
  expect(Object.keys(second["account_data"].rooms)).toEqual([A]);
  const third = await user.sync({ account_data: { global: null, rooms: null } }, { since: second.next });
  expect(third["account_data"].global).toHaveLength(2);
});

it('account_data: "*" is every room, those that come as well', async () => {
  const user = login("@star:test");
  const first = await user.sync({ account_data: { rooms: "*" } });
  expect(Object.keys(first["account_data"].rooms)).toEqual([A, B]);
  await t.deliver(user, v2({ join: { "!c:test": { state: newRoom(user.userId), account_data: [data("m.x")] } } }));
  const second = await user.sync({}, { since: first.next });
  expect(second["account_data"]).toEqual({ rooms: { "!c:test": [data("m.x")] } });
});

it('account_data: "room_list" is what that stream tracks, each room whole when it enters', async () => {
  const user = login("@list:test");
  const first = await user.sync({ room_list: { filters: { tags: ["u.a"] } }, account_data: { rooms: "room_list" } });
  expect(Object.keys(first["account_data"].rooms)).toEqual([A]);
  await t.deliver(user, ofRoom(B, data("m.x")));
  const second = await user.sync({}, { since: first.next });
  expect(second["account_data"]).toBeUndefined();
  await t.deliver(user, ofRoom(B, data("m.tag", { tags: { "u.a": {} } })));
  const third = await user.sync({}, { since: second.next });
  expect(third["account_data"].rooms).toEqual({
    [B]: [data("m.fully_read", { event_id: "$x" }), data("m.tag", { tags: { "u.a": {} } }), data("m.x")],
  });
});

it("account_data R14: events are as the homeserver sent them, whatever is in them", async () => {
  const user = t.login("@bytes:test");
  const first = await user.sync({ account_data: { rooms: "*" } });
  const body = String.raw`{"content":{"n":1.0,"s":"\u0000"} , "type":"m.odd","x":1}`;
  t.hs.queueSync(
    user.token,
    `{"next_batch":"o1","account_data":{"events":[${body}]},"rooms":{"join":{"${A}":{"account_data":{"events":[${body}]}}}}}`,
  );
  await t.hs.waitForPoll(user.token);
  const { text } = await user.request({}, { since: first.next });
  expect(text).toContain(`"account_data":{"global":[${body}],"rooms":{"${A}":[${body}]}}`);
});

it("I7 account_data: two users of a room have their own", async () => {
  const [one, two] = [login("@i7one:test"), login("@i7two:test")];
  const ask = { account_data: { global: false, rooms: [A] } };
  const [first1, first2] = [await one.sync(ask), await two.sync(ask)];
  await t.deliver(one, ofRoom(A, data("m.fully_read", { event_id: "$mine" })));
  await t.deliver(two, v2({ join: { [A]: { timeline: [ev.message("@bob:test")] } } }));
  expect((await one.sync({}, { since: first1.next }))["account_data"].rooms[A]).toEqual([data("m.fully_read", { event_id: "$mine" })]);
  expect(Object.keys(await two.sync({}, { since: first2.next }))).toEqual(["next"]);
});
