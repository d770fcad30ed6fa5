import { afterAll, beforeAll, expect, it } from "vitest";
import { type Json, newRoom, toDevice, typing, v2 } from "../support/fake-homeserver.ts";
import type { Answer, V3Client } from "../support/v3.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";

let t: V3Fixture;
beforeAll(async () => {
  t = await startV3();
});
afterAll(() => t.stop());

const BOB = "@bob:test";
const SESSIONS = "/_matrix/client/unstable/syncv3/sessions";

/** Messages numbered `from` to `to`. */
const numbered = (from: number, to: number): Json[] => Array.from({ length: to - from + 1 }, (_, i) => toDevice(BOB, { n: from + i }));
const carry = (...messages: Json[]) => v2({ to_device: messages });
const events = (answer: Answer): unknown => answer["to_device"]?.events;

/** The first answer with messages: a further device's first answer does not wait for its own first poll, as the account is known. */
async function told(client: V3Client, first: Answer): Promise<Answer> {
  return first["to_device"].events.length > 0 ? first : client.sync({}, { since: first.next, timeout: 10_000 });
}

/** How many messages each session of the device holds back (D20), the oldest session first. */
async function held(client: V3Client): Promise<number[]> {
  const { body } = await client.fetch("GET", SESSIONS);
  const sessions = body["sessions"] as { id: string; to_device_held: number }[];
  return sessions.toSorted((a, b) => Number(a.id) - Number(b.id)).map((session) => session.to_device_held);
}

it("TestHandlerToDevice Injecting a to_device event into the v2 stream gets received", async () => {
  const message = toDevice(BOB, { foo: "bar" });
  const alice = t.login("@received:test", "PHONE", carry(message));
  expect(events(await alice.sync({ to_device: {} }))).toEqual([message]);
});

it("TestHandlerToDevice 'limit' is honoured and fetches earliest events first", async () => {
  const all = numbered(1, 300);
  const alice = t.login("@limit:test", "PHONE", carry(...all));
  const first = await alice.sync({ to_device: { limit: 20 } });
  expect(first["to_device"]).toEqual({ limit: 20, events: all.slice(0, 20) });
  const second = await alice.sync({}, { since: first.next });
  expect(second["to_device"]).toEqual({ limit: 20, events: all.slice(20, 40) });
});

it("TestHandlerToDevice Repeating the request without having ACKed the position returns the event again", async () => {
  const alice = t.login("@repeat:test", "PHONE", carry(...numbered(1, 1)));
  const anchor = await alice.sync({ to_device: {} });
  await t.deliver(alice, carry(...numbered(2, 2)));
  for (let i = 0; i < 3; i++) expect(events(await alice.sync({}, { since: anchor.next }))).toEqual(numbered(2, 2));
});

it("TestHandlerToDevice After ACKing the position, going back to the old position returns no event", async () => {
  const alice = t.login("@back:test", "PHONE", carry(...numbered(1, 1)));
  const anchor = await alice.sync({ to_device: {} });
  await t.deliver(alice, carry(...numbered(2, 2)));
  const second = await alice.sync({}, { since: anchor.next });
  await alice.sync({}, { since: second.next });
  // A stream without news is absent (D8); the original had an empty list here.
  expect(Object.keys(await alice.sync({}, { since: anchor.next }))).toEqual(["next"]);
});

it("TestHandlerToDevice R9 If 2 sessions exist, both session must ACK the position before the event is deleted", async () => {
  const alice = t.login("@two:test");
  const [one, two] = [await alice.sync({ to_device: {} }), await alice.sync({ to_device: {} })];
  await t.deliver(alice, carry(...numbered(1, 1)));
  const [one2, two2] = [await alice.sync({}, { since: one.next }), await alice.sync({}, { since: two.next })];
  expect([events(one2), events(two2)]).toEqual([numbered(1, 1), numbered(1, 1)]);
  await alice.sync({}, { since: one2.next });
  expect(events(await alice.sync({}, { since: two.next })), "session 2 has not acknowledged").toEqual(numbered(1, 1));
  await alice.sync({}, { since: two2.next });
  expect(Object.keys(await alice.sync({}, { since: two.next }))).toEqual(["next"]);
  expect(events(await alice.sync({ to_device: {} })), "gone for a new session, too").toEqual([]);
});

it("B7 S2 R14: bytes in are bytes out, unknown keys and odd numbers too (TestToDeviceTableBytesInEqualBytesOut)", async () => {
  const bodies = [
    String.raw`{ "type":"m.x" ,"sender":"@b:t", "content" : { "b":1.0,"a":1e2,"z":12345678901234567890 }, "unknown":[ null ],"s":"\u0000\ud800é" }`,
    `{"content":{},"type":"m.x","sender":"@b:t","content":{"twice":true}}`,
  ];
  const alice = t.login("@bytes:test");
  const first = await alice.sync({ to_device: {} });
  t.hs.queueSync(alice.token, `{"to_device":{"events":[${bodies.join(" , ")}]},"next_batch":"odd"}`);
  await t.hs.waitForPoll(alice.token);
  const { text } = await alice.request({}, { since: first.next });
  expect(text).toContain(`"to_device":{"limit":100,"events":[${bodies.join(",")}]}`);
});

it("S2: equal messages, and cancellations, are neither merged nor dropped (TestToDeviceTableDeleteCancels, TestExtensionToDeviceSequence)", async () => {
  const request = toDevice(BOB, { action: "request", request_id: "1" });
  const cancel = toDevice(BOB, { action: "request_cancellation", request_id: "1" });
  const alice = t.login("@cancel:test");
  const first = await alice.sync({ to_device: {} });
  await t.deliver(alice, carry(request, cancel, request), carry(request), carry(cancel));
  expect(events(await alice.sync({}, { since: first.next }))).toEqual([request, cancel, request, request, cancel]);
});

it("S2 D17: the limit is 100, at most 1000, and the answer tells the effective one", async () => {
  const alice = t.login("@limits:test", "PHONE", carry(...numbered(1, 1100)));
  for (const [asked, effective] of [[undefined, 100], [0, 100], [-5, 100], [1000, 1000], [5000, 1000], [7, 7]] as const) {
    const answer = await alice.sync({ to_device: asked === undefined ? {} : { limit: asked } });
    expect(answer["to_device"].limit).toBe(effective);
    expect(answer["to_device"].events).toEqual(numbered(1, effective));
  }
});

it("S2 I4: when more than the limit wait, the next request answers at once; together the parts are the whole", async () => {
  const alice = t.login("@split:test", "PHONE", carry(...numbered(1, 25)));
  let answer = await alice.sync({ to_device: { limit: 10 } });
  const all = [...answer["to_device"].events];
  while (all.length < 25) {
    answer = await alice.sync({}, { since: answer.next, timeout: 60_000 });
    all.push(...answer["to_device"].events);
  }
  expect(all).toEqual(numbered(1, 25));
  expect(Object.keys(await alice.sync({}, { since: answer.next }))).toEqual(["next"]);
});

it("S2 D13: a changed limit takes effect and starts nothing anew", async () => {
  const alice = t.login("@relimit:test", "PHONE", carry(...numbered(1, 10)));
  const first = await alice.sync({ to_device: { limit: 2 } });
  const second = await alice.sync({ to_device: { limit: 3 } }, { since: first.next });
  expect(second["to_device"]).toEqual({ limit: 3, events: numbered(3, 5) });
  const third = await alice.sync({ to_device: { limit: null } }, { since: second.next });
  expect(third["to_device"]).toEqual({ limit: 100, events: numbered(6, 10) });
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
  expect(events(first), "kept until one takes part").toEqual(numbered(1, 2));
  await alice.sync({}, { since: first.next });
  expect(events(await alice.sync({ to_device: {} })), "the silent session held nothing").toEqual([]);
});

it("S2 B1: a session that takes part later gets everything still stored, and from then on holds (TestExtensionLateEnable)", async () => {
  const alice = t.login("@late:test");
  const late = await alice.sync({ typing: {} });
  await t.deliver(alice, carry(...numbered(1, 2)));
  const quiet = await alice.sync({}, { since: late.next });
  const started = await alice.sync({ to_device: {} }, { since: quiet.next });
  expect(events(started)).toEqual(numbered(1, 2));
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
  expect(events(await alice.sync({ to_device: {} })), "purged: the one that lacked it does not take part").toEqual([]);
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
  expect(events(await alice.sync({ to_device: {} }))).toEqual([]);
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
  expect(events(latest), "the first session, longest idle, is gone, and what only it lacked").toEqual([]);
});

it("S2: with none taking part everything is kept until one comes, over a restart too (B2)", async () => {
  const alice = t.login("@none:test", "PHONE", carry(...numbered(1, 1)));
  const other = await alice.sync({ e2ee: {} });
  await t.deliver(alice, carry(...numbered(2, 3)));
  await alice.sync({}, { since: other.next });
  await t.restart();
  expect(events(await alice.sync({ to_device: {} }))).toEqual(numbered(1, 3));
});

it("B2 I1 I6: after a restart what was pending is told once, and tokens do not go backwards", async () => {
  const alice = t.login("@b2:test", "PHONE", carry(...numbered(1, 1)));
  const first = await alice.sync({ to_device: {} });
  await t.deliver(alice, carry(...numbered(2, 2)));
  await t.restart();
  const second = await alice.sync({}, { since: first.next });
  expect(events(second)).toEqual(numbered(2, 2));
  await t.restart();
  const third = await alice.sync({}, { since: second.next });
  expect(Object.keys(third)).toEqual(["next"]);
  await t.hs.waitForPoll(alice.token);
  await t.deliver(alice, carry(...numbered(3, 3)));
  expect(events(await alice.sync({}, { since: third.next }))).toEqual(numbered(3, 3));
});

it("B3: a request that is refused acknowledges nothing", async () => {
  const alice = t.login("@b3:test");
  const first = await alice.sync({ to_device: {} });
  await t.deliver(alice, carry(...numbered(1, 1)));
  const second = await alice.sync({}, { since: first.next });
  for (const [body, query] of [["{", {}], [{ to_device: 1 }, {}], [{}, { timeout: "x" }], [{ room_members: { p: { since: "nonsense" } } }, {}]] as const) {
    expect((await alice.request(body, { since: second.next, ...query })).status).toBe(400);
  }
  expect(await held(alice)).toEqual([1]);
  expect(events(await alice.sync({}, { since: first.next }))).toEqual(numbered(1, 1));
});

it("B5: a session holds from its first request on, before its first answer was used", async () => {
  const alice = t.login("@b5:test");
  const one = await alice.sync({ to_device: {} });
  await t.deliver(alice, carry(...numbered(1, 1)));
  const two = await alice.sync({ to_device: {} });
  const one2 = await alice.sync({}, { since: one.next });
  await alice.sync({}, { since: one2.next });
  expect(await held(alice)).toEqual([0, 1]);
  // The first answer of session 2 got lost: it can only start again, and it is told again.
  expect(events(two)).toEqual(numbered(1, 1));
  expect(events(await alice.sync({ to_device: {} }))).toEqual(numbered(1, 1));
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
  expect(events(await alice.sync({}, { since: first.next })), "what is purged stays so, the rest comes").toEqual(numbered(2, 2));
});

it("B8 I8: the same v2 response twice is one: it is fed again after a failure that lost nothing", async () => {
  const alice = t.login("@b8:test");
  const first = await alice.sync({ to_device: {} });
  // The answer breaks off, so it is asked for again with the same since.
  const response = JSON.stringify({ ...carry(...numbered(1, 50)), next_batch: "b8" });
  t.hs.fail({ path: /\/sync$/, token: alice.token }, { body: response, cut: 400 });
  t.hs.queueSync(alice.token, carry(...numbered(1, 50)));
  t.hs.disconnect();
  const answer = await alice.sync({}, { since: first.next, timeout: 15_000 });
  expect(events(answer)).toEqual(numbered(1, 50));
  expect(Object.keys(await alice.sync({}, { since: answer.next }))).toEqual(["next"]);
});

it("B9 I9: messages of another device, or that other sessions have had, do not wake", async () => {
  const phone = t.login("@b9:test");
  const first = await phone.sync({ to_device: {} });
  const tablet = t.login("@b9:test", "TABLET");
  const tablet1 = await tablet.sync({ to_device: {} });
  await t.hs.waitForPoll(tablet.token);
  const waiting = phone.sync({}, { since: first.next, timeout: 10_000 });
  await t.deliver(tablet, carry(...numbered(1, 2)));
  expect(events(await tablet.sync({}, { since: tablet1.next }))).toEqual(numbered(1, 2));
  await t.deliver(phone, carry(...numbered(3, 3)));
  expect(events(await waiting)).toEqual(numbered(3, 3));
});

it("B9 D7: a caught-up request waits its time out", async () => {
  const alice = t.login("@b9wait:test", "PHONE", carry(...numbered(1, 5)));
  const first = await alice.sync({ to_device: {} });
  const second = await alice.sync({}, { since: first.next });
  const started = performance.now();
  expect(Object.keys(await alice.sync({}, { since: second.next, timeout: 300 }))).toEqual(["next"]);
  expect(performance.now() - started).toBeGreaterThanOrEqual(299);
});

it("B10: a refreshed token is the same device: queue, sessions and places stay", async () => {
  const alice = t.login("@b10:test");
  const first = await alice.sync({ to_device: {} });
  await t.deliver(alice, carry(...numbered(1, 1)));
  const refreshed = t.refresh(alice);
  const second = await refreshed.sync({}, { since: first.next });
  expect(events(second)).toEqual(numbered(1, 1));
  t.hs.revoke(alice.token);
  await t.hs.waitForPoll(refreshed.token);
  await t.deliver(refreshed, carry(...numbered(2, 2)));
  expect(events(await refreshed.sync({}, { since: second.next }))).toEqual(numbered(2, 2));
});

it("B10: a token without a device id is a device of its own", async () => {
  const token = t.hs.login("@b10none:test", null);
  t.hs.queueSync(token, carry(...numbered(1, 1)));
  const client = t.login("@b10none:test", "PHONE", carry(...numbered(2, 2)));
  expect(events(await client.sync({ to_device: {} }))).toEqual(numbered(2, 2));
  client.token = token;
  const first = await client.sync({ to_device: {} });
  expect(events(await told(client, first))).toEqual(numbered(1, 1));
});

it("B11: messages go with the device when it is logged out", async () => {
  const alice = t.login("@b11:test", "PHONE", carry(...numbered(1, 2)));
  const first = await alice.sync({ to_device: {} });
  expect((await alice.fetch("POST", "/_matrix/client/v3/logout", "{}")).status).toBe(200);
  expect(await t.sql`select from to_device join devices using (device) join accounts using (account) where user_id = ${alice.userId}`).toHaveLength(0);
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
    expect(events(first)).toEqual(numbered(i + 1, i + 1));
  }
  for (const device of [phone, tablet, laptop]) await t.hs.waitForPoll(device.token);
  await t.deliver(tablet, carry(...numbered(4, 4)));
  await t.deliver(phone, carry(...numbered(5, 5)));
  const since = (i: number) => ({ since: firsts[i]?.next });
  expect(events(await phone.sync({}, since(0)))).toEqual(numbered(5, 5));
  expect(events(await tablet.sync({}, since(1)))).toEqual(numbered(4, 4));
  expect(Object.keys(await laptop.sync({}, since(2)))).toEqual(["next"]);
  for (const device of [phone, tablet, laptop]) expect(t.hs.peakPolls(device.token)).toBe(1);
});

it("TestToDeviceTable S2: reading is from a place to the head, a limit ends it earlier, another device has none", async () => {
  const phone = t.login("@table:test", "PHONE", carry(...numbered(1, 2)));
  const tablet = t.login("@table:test", "TABLET");
  const one = await phone.sync({ to_device: { limit: 1 } });
  expect(events(one)).toEqual(numbered(1, 1));
  const two = await phone.sync({}, { since: one.next });
  expect(events(two), "the first is acknowledged and gone").toEqual(numbered(2, 2));
  expect(events(await phone.sync({ to_device: {} })), "only the second remains").toEqual(numbered(2, 2));
  expect(events(await tablet.sync({ to_device: {} }))).toEqual([]);
});

it("TestToDeviceTableNoDeleteUnacks I3: what is not acknowledged stays, however often it was told", async () => {
  const alice = t.login("@unacked:test", "PHONE", carry(...numbered(1, 3)));
  const first = await alice.sync({ to_device: { limit: 2 } });
  for (let i = 0; i < 3; i++) await alice.sync({ to_device: { limit: 2 } });
  const second = await alice.sync({}, { since: first.next });
  expect(events(second)).toEqual(numbered(3, 3));
  expect(events(await alice.sync({ to_device: {} })), "three sessions lack all of them").toEqual(numbered(1, 3));
});

it("S2 D7: a message that comes wakes the request that waits, and brings nothing else along", async () => {
  const alice = t.login("@wakes:test", "PHONE", v2({ join: { "!w:test": { state: newRoom(BOB) } } }));
  const first = await alice.sync({ to_device: {}, typing: { room_id: "!w:test" } });
  const waiting = alice.sync({}, { since: first.next, timeout: 10_000 });
  await t.deliver(alice, carry(...numbered(1, 1)));
  expect(await waiting).toEqual({ to_device: { limit: 100, events: numbered(1, 1) }, next: expect.any(String) as string });
  const both = alice.sync({}, { since: (await waiting).next, timeout: 10_000 });
  await t.deliver(alice, v2({ join: { "!w:test": { ephemeral: [typing(BOB)] } }, to_device: numbered(2, 2) }));
  expect(Object.keys(await both).toSorted()).toEqual(["next", "to_device", "typing"]);
});
