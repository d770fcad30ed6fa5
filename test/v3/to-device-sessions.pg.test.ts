import { expect, it } from "vitest";
import { carry, held, messagesOf, numbered, SESSIONS, told } from "../support/to-device.ts";
import type { Answer } from "../support/v3.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

it("TestHandlerToDevice R9 If 2 sessions exist, both session must ACK the position before the event is deleted", async () => {
  const alice = t.login("@two:test");
  const [one, two] = [await alice.sync({ to_device: {} }), await alice.sync({ to_device: {} })];
  await t.deliver(alice, carry(...numbered(1, 1)));
  const [one2, two2] = [await alice.sync({}, { since: one.next }), await alice.sync({}, { since: two.next })];
  expect([messagesOf(one2), messagesOf(two2)]).toEqual([numbered(1, 1), numbered(1, 1)]);
  await alice.sync({}, { since: one2.next });
  expect(messagesOf(await alice.sync({}, { since: two.next })), "session 2 has not acknowledged").toEqual(numbered(1, 1));
  await alice.sync({}, { since: two2.next });
  expect(Object.keys(await alice.sync({}, { since: two.next }))).toEqual(["next"]);
  expect(messagesOf(await alice.sync({ to_device: {} })), "gone for a new session, too").toEqual([]);
});

it("S2 B1: a session that never names the stream neither receives nor acknowledges nor holds", async () => {
  const alice = t.login("@silent:test");
  const silent = await alice.sync({ typing: {} });
  await t.deliver(alice, carry(...numbered(1, 2)));
  const silent2 = await alice.sync({}, { since: silent.next });
  expect(Object.keys(silent2)).toEqual(["next"]);
  await alice.sync({}, { since: silent2.next });
  expect(await held(alice)).toEqual([0]);
  const first = await alice.sync({ to_device: {} });
  expect(messagesOf(first), "kept until one takes part").toEqual(numbered(1, 2));
  await alice.sync({}, { since: first.next });
  expect(messagesOf(await alice.sync({ to_device: {} })), "the silent session held nothing").toEqual([]);
});

it("S2 B1: a session that takes part later gets everything still stored, and from then on holds (TestExtensionLateEnable)", async () => {
  const alice = t.login("@late:test");
  const late = await alice.sync({ typing: {} });
  await t.deliver(alice, carry(...numbered(1, 2)));
  const quiet = await alice.sync({}, { since: late.next });
  const started = await alice.sync({ to_device: {} }, { since: quiet.next });
  expect(messagesOf(started)).toEqual(numbered(1, 2));
  const other = await alice.sync({ to_device: {} });
  await alice.sync({}, { since: other.next });
  expect(await held(alice), "the late one has not acknowledged").toEqual([2, 0]);
  await alice.sync({}, { since: started.next });
  expect(await held(alice)).toEqual([0, 0]);
});

it("S2 D9: a session that drops the stream holds no more, and gets nothing more", async () => {
  const alice = t.login("@drop:test");
  const [one, two] = [await alice.sync({ to_device: {} }), await alice.sync({ to_device: {} })];
  await t.deliver(alice, carry(...numbered(1, 2)));
  const two2 = await alice.sync({}, { since: two.next });
  await alice.sync({}, { since: two2.next });
  expect(await held(alice)).toEqual([2, 0]);
  const dropped = await alice.sync({ to_device: null }, { since: one.next });
  expect(Object.keys(dropped)).toEqual(["next"]);
  expect(messagesOf(await alice.sync({ to_device: {} })), "purged: the one that lacked it does not take part").toEqual([]);
  await t.deliver(alice, carry(...numbered(3, 3)));
  expect(Object.keys(await alice.sync({}, { since: dropped.next }))).toEqual(["next"]);
});

it("S2 R9: a session that ends holds no more", async () => {
  const alice = t.login("@end:test");
  const one = await alice.sync({ to_device: {} });
  const two = await alice.sync({ to_device: {} });
  await t.deliver(alice, carry(...numbered(1, 2)));
  const one2 = await alice.sync({}, { since: one.next });
  await alice.sync({}, { since: one2.next });
  expect(await held(alice)).toEqual([0, 2]);
  const { body } = await alice.fetch("GET", SESSIONS);
  const lagging = (body["sessions"] as { id: string; to_device_held: number }[]).find((session) => session.to_device_held > 0);
  expect((await alice.fetch("DELETE", `${SESSIONS}/${lagging?.id}`)).status).toBe(200);
  expect((await alice.request({}, { since: two.next })).status).toBe(400);
  expect(messagesOf(await alice.sync({ to_device: {} }))).toEqual([]);
});

it("S2 D20 B4: a session that makes room for newer ones holds no more", async () => {
  const alice = t.login("@hundred:test");
  await alice.sync({ to_device: {} });
  const two = await alice.sync({ to_device: {} });
  await t.deliver(alice, carry(...numbered(1, 2)));
  const two2 = await alice.sync({}, { since: two.next });
  const two3 = await alice.sync({}, { since: two2.next });
  for (let i = 0; i < 99; i++) await alice.sync({ e2ee: {} });
  await alice.sync({}, { since: two3.next });
  const latest = await alice.sync({ to_device: {} });
  expect(messagesOf(latest), "the first session, longest idle, is gone, and what only it lacked").toEqual([]);
});

it("S2: with none taking part everything is stored until one comes, over a restart too (B2)", async () => {
  const alice = t.login("@none:test", "PHONE", carry(...numbered(1, 1)));
  const other = await alice.sync({ e2ee: {} });
  await t.deliver(alice, carry(...numbered(2, 3)));
  await alice.sync({}, { since: other.next });
  await t.restart();
  expect(messagesOf(await alice.sync({ to_device: {} }))).toEqual(numbered(1, 3));
});

it("B3: a request that is refused acknowledges nothing", async () => {
  const alice = t.login("@b3:test");
  const first = await alice.sync({ to_device: {} });
  await t.deliver(alice, carry(...numbered(1, 1)));
  const second = await alice.sync({}, { since: first.next });
  for (const [body, query] of [
    ["{", {}],
    [{ to_device: 1 }, {}],
    [{}, { timeout: "x" }],
    [{ room_members: { p: { since: "nonsense" } } }, {}],
  ] as const) {
    expect((await alice.request(body, { since: second.next, ...query })).status).toBe(400);
  }
  expect(await held(alice)).toEqual([1]);
  expect(messagesOf(await alice.sync({}, { since: first.next }))).toEqual(numbered(1, 1));
});

it("B5: a session holds from its first request on, before its first answer was used", async () => {
  const alice = t.login("@b5:test");
  const one = await alice.sync({ to_device: {} });
  await t.deliver(alice, carry(...numbered(1, 1)));
  const two = await alice.sync({ to_device: {} });
  const one2 = await alice.sync({}, { since: one.next });
  await alice.sync({}, { since: one2.next });
  expect(await held(alice)).toEqual([0, 1]);
  // The first answer of session 2 was lost: it can only start again, and is sent the message again.
  expect(messagesOf(two)).toEqual(numbered(1, 1));
  expect(messagesOf(await alice.sync({ to_device: {} }))).toEqual(numbered(1, 1));
});

it("B6 D10: an older token never takes an acknowledgement back", async () => {
  const alice = t.login("@b6:test");
  const first = await alice.sync({ to_device: {} });
  await t.deliver(alice, carry(...numbered(1, 1)));
  const second = await alice.sync({}, { since: first.next });
  await alice.sync({}, { since: second.next });
  await alice.sync({}, { since: first.next });
  expect(await held(alice)).toEqual([0]);
  await t.deliver(alice, carry(...numbered(2, 2)));
  expect(messagesOf(await alice.sync({}, { since: first.next })), "what is purged stays so, the rest comes").toEqual(numbered(2, 2));
});

it("B10: a refreshed token is the same device: queue, sessions and places stay", async () => {
  const alice = t.login("@b10:test");
  const first = await alice.sync({ to_device: {} });
  await t.deliver(alice, carry(...numbered(1, 1)));
  const refreshed = t.refresh(alice);
  const second = await refreshed.sync({}, { since: first.next });
  expect(messagesOf(second)).toEqual(numbered(1, 1));
  t.hs.revoke(alice.token);
  await t.hs.waitForPoll(refreshed.token);
  await t.deliver(refreshed, carry(...numbered(2, 2)));
  expect(messagesOf(await refreshed.sync({}, { since: second.next }))).toEqual(numbered(2, 2));
});

it("B10: a token without a device id is a device of its own", async () => {
  const token = t.hs.login("@b10none:test", null);
  t.hs.queueSync(token, carry(...numbered(1, 1)));
  const client = t.login("@b10none:test", "PHONE", carry(...numbered(2, 2)));
  expect(messagesOf(await client.sync({ to_device: {} }))).toEqual(numbered(2, 2));
  client.token = token;
  const first = await client.sync({ to_device: {} });
  expect(messagesOf(await told(client, first))).toEqual(numbered(1, 1));
});

it("B11: messages go with the device when it is logged out", async () => {
  const alice = t.login("@b11:test", "PHONE", carry(...numbered(1, 2)));
  const first = await alice.sync({ to_device: {} });
  expect((await alice.fetch("POST", "/_matrix/client/v3/logout", "{}")).status).toBe(200);
  expect(await t.sql`select from to_device join devices using (device) join accounts using (account) where user_id = ${alice.userId}`).toHaveLength(
    0,
  );
  const again = t.refresh(alice);
  expect((await again.request({}, { since: first.next })).body).toEqual({ errcode: "M_UNKNOWN_SYNC_SESSION", error: "Session unknown or expired" });
});

it("S2: several devices of an account have a poller and a queue each", async () => {
  const phone = t.login("@devices:test", "PHONE", carry(...numbered(1, 1)));
  const tablet = t.login("@devices:test", "TABLET", carry(...numbered(2, 2)));
  const laptop = t.login("@devices:test", "LAPTOP", carry(...numbered(3, 3)));
  const firsts: Answer[] = [];
  for (const [i, device] of [phone, tablet, laptop].entries()) {
    const first = await told(device, await device.sync({ to_device: {} }));
    firsts.push(first);
    expect(messagesOf(first)).toEqual(numbered(i + 1, i + 1));
  }
  for (const device of [phone, tablet, laptop]) await t.hs.waitForPoll(device.token);
  await t.deliver(tablet, carry(...numbered(4, 4)));
  await t.deliver(phone, carry(...numbered(5, 5)));
  const since = (i: number) => ({ since: firsts[i]?.next });
  expect(messagesOf(await phone.sync({}, since(0)))).toEqual(numbered(5, 5));
  expect(messagesOf(await tablet.sync({}, since(1)))).toEqual(numbered(4, 4));
  expect(Object.keys(await laptop.sync({}, since(2)))).toEqual(["next"]);
  for (const device of [phone, tablet, laptop]) expect(t.hs.peakPolls(device.token)).toBe(1);
});

it("TestToDeviceTableNoDeleteUnacks I3: what is not acknowledged stays, however often it was sent", async () => {
  const alice = t.login("@unacked:test", "PHONE", carry(...numbered(1, 3)));
  const first = await alice.sync({ to_device: { limit: 2 } });
  for (let i = 0; i < 3; i++) await alice.sync({ to_device: { limit: 2 } });
  const second = await alice.sync({}, { since: first.next });
  expect(messagesOf(second)).toEqual(numbered(3, 3));
  expect(messagesOf(await alice.sync({ to_device: {} })), "three sessions lack all of them").toEqual(numbered(1, 3));
});
