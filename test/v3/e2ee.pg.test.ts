import { expect, it } from "vitest";
import { toDevice, v2 } from "../support/fake-homeserver.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const BOB = "@bob:test";
const CHARLIE = "@charlie:test";
const counts = (n: number, fallback: string[] = []) => v2({ one_time_keys: { signed_curve25519: n }, fallback_keys: fallback });
const lists = (changed: string[], left: string[] = []) => v2({ device_lists: { changed, left } });

it("e2ee: no device lists in a first answer, the counts are there", async () => {
  const user = t.login("@first:test", "PHONE", { ...counts(50, ["signed_curve25519"]), ...lists([BOB], [CHARLIE]) });
  const first = await user.sync({ e2ee: {} });
  expect(first["e2ee"]).toEqual({
    device_one_time_keys_count: { signed_curve25519: 50 },
    device_unused_fallback_key_types: ["signed_curve25519"],
  });
  expect(Object.keys(await user.sync({}, { since: first.next }))).toEqual(["next"]);
});

it("e2ee: then what changed and left since, the latest of each user", async () => {
  const user = t.login("@then:test");
  const first = await user.sync({ e2ee: {} });
  await t.deliver(user, lists([BOB, CHARLIE]), lists(["@dora:test"], [CHARLIE]));
  const second = await user.sync({}, { since: first.next });
  expect(second["e2ee"]).toEqual({ device_lists: { changed: [BOB, "@dora:test"], left: [CHARLIE] } });
  const waiting = user.sync({}, { since: second.next, timeout: 10_000 });
  await t.deliver(user, lists([BOB]));
  expect((await waiting)["e2ee"]).toEqual({ device_lists: { changed: [BOB], left: [] } });
  expect((await user.sync({}, { since: first.next }))["e2ee"].device_lists, "an old token gets all of it again (D10)").toEqual({
    changed: [BOB, "@dora:test"],
    left: [CHARLIE],
  });
});

it("e2ee: counts alone do not end a wait, but are sent with the next answer", async () => {
  const user = t.login("@counts:test", "PHONE", counts(50));
  const first = await user.sync({ e2ee: {}, to_device: {} });
  let done = false;
  const waiting = user.sync({}, { since: first.next, timeout: 10_000 }).finally(() => (done = true));
  await t.deliver(user, counts(49), counts(48, ["signed_curve25519"]));
  expect(done).toBe(false);
  await t.deliver(user, v2({ to_device: [toDevice(BOB)], one_time_keys: { signed_curve25519: 48 } }));
  const second = await waiting;
  expect(second["e2ee"]).toEqual({ device_one_time_keys_count: { signed_curve25519: 48 }, device_unused_fallback_key_types: ["signed_curve25519"] });
  expect(second["to_device"].events).toHaveLength(1);
  await t.deliver(user, counts(47));
  const third = await user.sync({}, { since: second.next, timeout: 300 });
  expect(third["e2ee"].device_one_time_keys_count, "also where the time is over").toEqual({ signed_curve25519: 47 });
});

it("e2ee: the same counts again are no news, and fallback key types that a response leaves out stay", async () => {
  const user = t.login("@same:test", "PHONE", counts(50, ["signed_curve25519"]));
  const first = await user.sync({ e2ee: {} });
  await t.deliver(user, counts(50, ["signed_curve25519"]), v2({ one_time_keys: { signed_curve25519: 50 } }));
  expect(Object.keys(await user.sync({}, { since: first.next }))).toEqual(["next"]);
  expect((await user.sync({ e2ee: {} }))["e2ee"].device_unused_fallback_key_types).toEqual(["signed_curve25519"]);
});

it("e2ee T10: each device of an account has its own counts, and the device lists of the account's room poll", async () => {
  const phone = t.login("@devices:test", "PHONE", counts(10));
  const firstPhone = await phone.sync({ e2ee: {} });
  const tablet = t.login("@devices:test", "TABLET", counts(20));
  await tablet.sync({ e2ee: {} });
  await t.hs.waitForPoll(tablet.token);
  const firstTablet = await tablet.sync({ e2ee: {} });
  expect(firstPhone["e2ee"].device_one_time_keys_count).toEqual({ signed_curve25519: 10 });
  expect(firstTablet["e2ee"].device_one_time_keys_count).toEqual({ signed_curve25519: 20 });
  const waiting = tablet.sync({}, { since: firstTablet.next, timeout: 10_000 });
  await t.deliver(phone, lists([CHARLIE]));
  expect((await waiting)["e2ee"].device_lists, "it wakes the other device").toEqual({ changed: [CHARLIE], left: [] });
  await t.deliver(tablet, lists([BOB]));
  expect((await phone.sync({}, { since: firstPhone.next }))["e2ee"].device_lists.changed).toEqual([CHARLIE]);
  expect((await tablet.sync({}, { since: firstTablet.next }))["e2ee"].device_lists.changed).toEqual([BOB, CHARLIE]);
});

it("e2ee T10: each device is sent the last state of users who leave, return and leave again", async () => {
  const phone = t.login("@returns:test", "PHONE");
  await phone.sync({ e2ee: {} });
  const tablet = t.login("@returns:test", "TABLET");
  const first = await tablet.sync({ e2ee: {} });
  await t.deliver(phone, lists([], [BOB]), lists([BOB]), lists([CHARLIE]), lists([], [CHARLIE]));
  const second = await tablet.sync({}, { since: first.next });
  expect(second["e2ee"].device_lists).toEqual({ changed: [BOB], left: [CHARLIE] });
  expect(Object.keys(await tablet.sync({}, { since: second.next }))).toEqual(["next"]);
});

it("e2ee T10: what a device's own poll brings as well is sent once", async () => {
  const phone = t.login("@both:test", "PHONE");
  await phone.sync({ e2ee: {} });
  const tablet = t.login("@both:test", "TABLET");
  const first = await tablet.sync({ e2ee: {} });
  await t.hs.waitForPoll(tablet.token);
  await t.deliver(phone, lists([BOB]));
  const second = await tablet.sync({}, { since: first.next });
  expect(second["e2ee"].device_lists.changed).toEqual([BOB]);
  await t.deliver(tablet, lists([BOB], [CHARLIE]));
  expect((await tablet.sync({}, { since: second.next }))["e2ee"].device_lists, "but not what it alone brings").toEqual({
    changed: [],
    left: [CHARLIE],
  });
});

it("e2ee T12: counts that are absent after there were some are sent as 0, once", async () => {
  const user = t.login("@absent:test", "PHONE", counts(50, ["signed_curve25519"]));
  const first = await user.sync({ e2ee: {}, to_device: {} });
  await t.deliver(user, v2({ to_device: [toDevice(BOB)] }));
  const second = await user.sync({}, { since: first.next });
  expect(second["e2ee"].device_one_time_keys_count).toEqual({ signed_curve25519: 0 });
  await t.deliver(user, v2({ to_device: [toDevice(BOB)] }));
  expect(Object.keys(await user.sync({}, { since: second.next }))).toEqual(["to_device", "next"]);
});

it("e2ee: no counts are sent for a device that was not polled yet, since they would mean that it has no keys", async () => {
  const phone = t.login("@unpolled:test", "PHONE", counts(10));
  await phone.sync({ e2ee: {} });
  const tablet = t.login("@unpolled:test", "TABLET", counts(20));
  t.hs.fail({ path: /\/sync$/, token: tablet.token }, { delayMs: 400 });
  const first = await tablet.sync({ e2ee: {} });
  expect(first["e2ee"]).toEqual({});
  await t.hs.waitForPoll(tablet.token);
  expect((await tablet.sync({}, { since: first.next }))["e2ee"].device_one_time_keys_count).toEqual({ signed_curve25519: 20 });
});

it("e2ee D13: ended and named again it starts: no lists, counts", async () => {
  const user = t.login("@anew:test", "PHONE", counts(5));
  const first = await user.sync({ e2ee: {} });
  const second = await user.sync({ e2ee: null }, { since: first.next });
  await t.deliver(user, v2({ device_lists: { changed: [BOB] }, one_time_keys: { signed_curve25519: 5 } }));
  const third = await user.sync({ e2ee: {} }, { since: second.next });
  expect(third["e2ee"]).toEqual({ device_one_time_keys_count: { signed_curve25519: 5 }, device_unused_fallback_key_types: [] });
});

it("e2ee I6: lists are sent after a restart as without one", async () => {
  const user = t.login("@restart:test");
  const first = await user.sync({ e2ee: {} });
  await t.deliver(user, lists([BOB]));
  await t.restart();
  const second = await user.sync({}, { since: first.next });
  expect(second["e2ee"].device_lists).toEqual({ changed: [BOB], left: [] });
  expect(Object.keys(await user.sync({}, { since: second.next }))).toEqual(["next"]);
});
