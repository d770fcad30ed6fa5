import { expect, it } from "vitest";
import { newRoom, toDevice, typing, v2 } from "../support/fake-homeserver.ts";
import { carry, messagesOf, numbered } from "../support/to-device.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const BOB = "@bob:test";

it("TestHandlerToDevice Injecting a to_device event into the v2 stream gets received", async () => {
  const message = toDevice(BOB, { foo: "bar" });
  const alice = t.login("@received:test", "PHONE", carry(message));
  expect(messagesOf(await alice.sync({ to_device: {} }))).toEqual([message]);
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
  for (let i = 0; i < 3; i++) expect(messagesOf(await alice.sync({}, { since: anchor.next }))).toEqual(numbered(2, 2));
});

it("TestHandlerToDevice After ACKing the position, going back to the old position returns no event", async () => {
  const alice = t.login("@back:test", "PHONE", carry(...numbered(1, 1)));
  const anchor = await alice.sync({ to_device: {} });
  await t.deliver(alice, carry(...numbered(2, 2)));
  const second = await alice.sync({}, { since: anchor.next });
  await alice.sync({}, { since: second.next });
  // A stream without news is absent (D8); the original implementation sent an empty list.
  expect(Object.keys(await alice.sync({}, { since: anchor.next }))).toEqual(["next"]);
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
  expect(messagesOf(await alice.sync({}, { since: first.next }))).toEqual([request, cancel, request, request, cancel]);
});

it("S2 D17: the limit is 100, at most 1000, and the answer says the effective one", async () => {
  const alice = t.login("@limits:test", "PHONE", carry(...numbered(1, 1100)));
  for (const [asked, effective] of [
    [undefined, 100],
    [0, 100],
    [-5, 100],
    [1000, 1000],
    [5000, 1000],
    [7, 7],
  ] as const) {
    const answer = await alice.sync({ to_device: asked === undefined ? {} : { limit: asked } });
    expect(answer["to_device"].limit).toBe(effective);
    expect(answer["to_device"].events).toEqual(numbered(1, effective));
  }
});

it("S2 I4: when more than the limit wait, the next request answers at once; together the parts are complete", async () => {
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

it("S2 D13: a changed limit takes effect and restarts nothing", async () => {
  const alice = t.login("@relimit:test", "PHONE", carry(...numbered(1, 10)));
  const first = await alice.sync({ to_device: { limit: 2 } });
  const second = await alice.sync({ to_device: { limit: 3 } }, { since: first.next });
  expect(second["to_device"]).toEqual({ limit: 3, events: numbered(3, 5) });
  const third = await alice.sync({ to_device: { limit: null } }, { since: second.next });
  expect(third["to_device"]).toEqual({ limit: 100, events: numbered(6, 10) });
});

it("B2 I1 I6: after a restart what was pending is sent once, and tokens do not go backwards", async () => {
  const alice = t.login("@b2:test", "PHONE", carry(...numbered(1, 1)));
  const first = await alice.sync({ to_device: {} });
  await t.deliver(alice, carry(...numbered(2, 2)));
  await t.restart();
  const second = await alice.sync({}, { since: first.next });
  expect(messagesOf(second)).toEqual(numbered(2, 2));
  await t.restart();
  const third = await alice.sync({}, { since: second.next });
  expect(Object.keys(third)).toEqual(["next"]);
  await t.hs.waitForPoll(alice.token);
  await t.deliver(alice, carry(...numbered(3, 3)));
  expect(messagesOf(await alice.sync({}, { since: third.next }))).toEqual(numbered(3, 3));
});

it("B8 I8: the same v2 response twice is one: it is fed again after a failure that lost nothing", async () => {
  const alice = t.login("@b8:test");
  const first = await alice.sync({ to_device: {} });
  // The response breaks off, so it is requested again with the same since.
  const response = JSON.stringify({ ...carry(...numbered(1, 50)), next_batch: "b8" });
  t.hs.fail({ path: /\/sync$/, token: alice.token }, { body: response, cut: 400 });
  t.hs.queueSync(alice.token, carry(...numbered(1, 50)));
  t.hs.disconnect();
  const answer = await alice.sync({}, { since: first.next, timeout: 15_000 });
  expect(messagesOf(answer)).toEqual(numbered(1, 50));
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
  expect(messagesOf(await tablet.sync({}, { since: tablet1.next }))).toEqual(numbered(1, 2));
  await t.deliver(phone, carry(...numbered(3, 3)));
  expect(messagesOf(await waiting)).toEqual(numbered(3, 3));
});

it("B9 D7: a caught-up request waits for its full timeout", async () => {
  const alice = t.login("@b9wait:test", "PHONE", carry(...numbered(1, 5)));
  const first = await alice.sync({ to_device: {} });
  const second = await alice.sync({}, { since: first.next });
  const started = performance.now();
  expect(Object.keys(await alice.sync({}, { since: second.next, timeout: 300 }))).toEqual(["next"]);
  expect(performance.now() - started).toBeGreaterThanOrEqual(299);
});

it("TestToDeviceTable S2: reading is from a cursor to the head, a limit ends it earlier, another device has none", async () => {
  const phone = t.login("@table:test", "PHONE", carry(...numbered(1, 2)));
  const tablet = t.login("@table:test", "TABLET");
  const one = await phone.sync({ to_device: { limit: 1 } });
  expect(messagesOf(one)).toEqual(numbered(1, 1));
  const two = await phone.sync({}, { since: one.next });
  expect(messagesOf(two), "the first is acknowledged and gone").toEqual(numbered(2, 2));
  expect(messagesOf(await phone.sync({ to_device: {} })), "only the second remains").toEqual(numbered(2, 2));
  expect(messagesOf(await tablet.sync({ to_device: {} }))).toEqual([]);
});

it("S2 D7: a new message wakes the waiting request, and nothing else is sent with it", async () => {
  const alice = t.login("@wakes:test", "PHONE", v2({ join: { "!w:test": { state: newRoom(BOB) } } }));
  const first = await alice.sync({ to_device: {}, typing: { room_id: "!w:test" } });
  const waiting = alice.sync({}, { since: first.next, timeout: 10_000 });
  await t.deliver(alice, carry(...numbered(1, 1)));
  expect(await waiting).toEqual({ to_device: { limit: 100, events: numbered(1, 1) }, next: expect.any(String) as string });
  const both = alice.sync({}, { since: (await waiting).next, timeout: 10_000 });
  await t.deliver(alice, v2({ join: { "!w:test": { ephemeral: [typing(BOB)] } }, to_device: numbered(2, 2) }));
  expect(Object.keys(await both).toSorted()).toEqual(["next", "to_device", "typing"]);
});
