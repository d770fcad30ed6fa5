/** Sessions: several per device, how they end, and what they hold (R8-R12, D20). */

import { describe, expect, it } from "vitest";
import { toDevice, typing, v2 } from "../support/fake-homeserver.ts";
import { scene, typingOf } from "../support/scene.ts";
import { type V3Client, V3Fixture, v3Server } from "../support/v3.ts";

const SESSIONS = "/_matrix/client/unstable/syncv3/sessions";
const UNKNOWN_SESSION = '{"errcode":"M_UNKNOWN_SYNC_SESSION","error":"Session unknown or expired"}';
const MOST = 3;

const t = v3Server({ engine: { sessionsPerDevice: MOST } });

type Listed = { id: string; kind: string; created_ts: number; last_used_ts: number; position: number; to_device_held: number };

const list = async (client: V3Client): Promise<Listed[]> => (await client.fetch("GET", SESSIONS)).body["sessions"];

/** Makes all sessions of the user look as if they had not been used for this long. */
async function age(client: V3Client, interval: string): Promise<void> {
  await t.sql`update sessions set used_at = used_at - ${interval}::interval where account = (select account from accounts where user_id = ${client.userId})`;
}

async function isGone(client: V3Client, since: string): Promise<boolean> {
  const reply = await client.request({}, { since });
  if (reply.status === 200) return false;
  expect([reply.status, reply.text]).toEqual([400, UNKNOWN_SESSION]);
  return true;
}

describe("R8: several sessions", () => {
  it("R3 R8 TestSessions: each request without since starts a session of its own, each with its own position", async () => {
    const { client, room, type } = scene(t);
    const one = await client.sync({ typing: { room_id: room } });
    await type("@a:test");
    const two = await client.sync({ typing: { room_id: room } });
    expect([typingOf(one), typingOf(two)]).toEqual([[], [["@a:test"]]]);
    expect(await list(client)).toHaveLength(2);
    expect(typingOf(await client.sync({}, { since: one.next }))).toEqual([["@a:test"]]);
    expect(Object.keys(await client.sync({}, { since: two.next }))).toEqual(["next"]);
  });

  it("R8: two devices of a user have sessions and to-device messages of their own", async () => {
    const { client, room, me } = scene(t);
    const tablet = t.login(me, "TABLET", v2({ to_device: [toDevice("@b:test", { to: "tablet" })] }));
    const one = await client.sync({ typing: { room_id: room }, to_device: {} });
    const two = await tablet.sync({ typing: { room_id: room }, to_device: {} });
    await t.hs.waitForPoll(tablet.token);
    await t.deliver(client, v2({ join: { [room]: { ephemeral: [typing("@b:test")] } }, to_device: [toDevice("@b:test", { to: "phone" })] }));
    const phoneNews = await client.sync({}, { since: one.next });
    const tabletNews = await tablet.sync({}, { since: two.next });
    expect([typingOf(phoneNews), typingOf(tabletNews)]).toEqual([[["@b:test"]], [["@b:test"]]]);
    expect(phoneNews["to_device"].events).toEqual([toDevice("@b:test", { to: "phone" })]);
    expect([...two["to_device"].events, ...(tabletNews["to_device"]?.events ?? [])]).toEqual([toDevice("@b:test", { to: "tablet" })]);
    expect([await list(client), await list(tablet)].map((sessions) => sessions.length)).toEqual([1, 1]);
  });

  it("R9 S2 TestHandlerToDevice: two sessions must both acknowledge before a message is purged", async () => {
    const { client } = scene(t);
    const anchorOne = await client.sync({ to_device: {} });
    const anchorTwo = await client.sync({ to_device: {} });
    const message = toDevice("@b:test", { foo: "bar" });
    await t.deliver(client, v2({ to_device: [message] }));
    const one = await client.sync({}, { since: anchorOne.next });
    const two = await client.sync({}, { since: anchorTwo.next });
    expect([one["to_device"].events, two["to_device"].events]).toEqual([[message], [message]]);
    await client.sync({}, { since: one.next });
    expect((await client.sync({}, { since: anchorTwo.next }))["to_device"].events).toEqual([message]);
    await client.sync({}, { since: two.next });
    expect((await client.sync({}, { since: anchorTwo.next }))["to_device"]).toBeUndefined();
    expect((await client.sync({ to_device: {} }))["to_device"].events).toEqual([]);
  });
});

describe("D20: how sessions end", () => {
  it("R10 R11 R12 D20 TestSessionExpiry: a session ends when it is idle for seven days, and not a little earlier", async () => {
    const { client, room, type } = scene(t);
    const first = await client.sync({ typing: { room_id: room } });
    await age(client, "6 days 23 hours");
    expect(await isGone(client, first.next)).toBe(false);
    await age(client, "6 days 23 hours");
    expect(await isGone(client, first.next)).toBe(false);
    await age(client, "7 days 1 minute");
    expect(await isGone(client, first.next)).toBe(true);
    const again = await client.sync({ typing: { room_id: room } });
    await type("@b:test");
    expect(typingOf(await client.sync({}, { since: again.next }))).toEqual([["@b:test"]]);
  });

  it("D20: how long is configurable", async () => {
    const shortLived = new V3Fixture({ sessionIdleMs: 60_000 }, { hs: t.hs, database: t.database });
    await shortLived.start();
    const { client } = scene(shortLived);
    const first = await client.sync({});
    await age(client, "50 seconds");
    expect(await isGone(client, first.next)).toBe(false);
    await age(client, "70 seconds");
    expect(await isGone(client, first.next)).toBe(true);
    await shortLived.stopServer();
  });

  it("D20: page requests count as use", async () => {
    const { client, room } = scene(t, { others: ["@b:test"] });
    const first = await client.sync({ room_members: { room_id: room, p: { limit: 1 } } });
    await age(client, "6 days 23 hours");
    await client.sync({ room_members: { p: { since: first["room_members"].p.next } } }, { since: first.next });
    await age(client, "2 hours");
    expect(await isGone(client, first.next)).toBe(false);
  });

  it("D20: one session too many ends the one that is idle longest, not the oldest", async () => {
    const { client } = scene(t);
    const tokens: string[] = [];
    for (let n = 0; n < MOST; n++) tokens.push((await client.sync({})).next);
    const [oldest = "", second = "", third = ""] = tokens;
    await client.sync({}, { since: oldest });
    const fourth = await client.sync({});
    expect(await list(client)).toHaveLength(MOST);
    expect(await isGone(client, second)).toBe(true);
    for (const since of [oldest, third, fourth.next]) expect(await isGone(client, since)).toBe(false);
  });

  it("D20: the bound holds when many start together, and another device's sessions do not count", async () => {
    const { client, me } = scene(t);
    const tablet = t.login(me, "TABLET");
    const { next } = await tablet.sync({});
    const replies = await Promise.all(Array.from({ length: 8 }, () => client.request({})));
    // A session that had to make room while it was still starting gets R11.
    for (const reply of replies) expect([200, 400]).toContain(reply.status);
    expect((await list(client)).length).toBeLessThanOrEqual(MOST);
    expect(await isGone(tablet, next)).toBe(false);
  });

  it("I3 D20: a session that had to make room holds no messages any more", async () => {
    const { client } = scene(t);
    const lagging = await client.sync({ to_device: {} });
    const reading = await client.sync({ to_device: {} });
    await t.deliver(client, v2({ to_device: [toDevice("@b:test")] }));
    const read = await client.sync({}, { since: reading.next });
    await client.sync({}, { since: read.next });
    expect((await list(client)).map((session) => session.to_device_held).sort()).toEqual([0, 1]);
    for (let n = 0; n < MOST - 1; n++) await client.sync({ invites: {} });
    expect(await isGone(client, lagging.next)).toBe(true);
    expect((await client.sync({ to_device: {} }))["to_device"].events).toEqual([]);
  });

  it("D20: sessions are listed and ended over HTTP; what the ended one held is free", async () => {
    const { client } = scene(t);
    const remaining = await client.sync({ to_device: {} });
    const other = await client.sync({ to_device: {} });
    await t.deliver(client, v2({ to_device: [toDevice("@b:test")] }));
    const read = await client.sync({}, { since: remaining.next });
    await client.sync({}, { since: read.next });
    const sessions = await list(client);
    expect(sessions.map(({ kind, to_device_held }) => [kind, to_device_held])).toEqual([
      ["v3", 0],
      ["v3", 1],
    ]);
    const lagging = sessions.find((session) => session.to_device_held === 1);
    expect((await client.fetch("DELETE", `${SESSIONS}/${lagging?.id}`)).status).toBe(200);
    expect(await isGone(client, other.next)).toBe(true);
    expect(await isGone(client, read.next)).toBe(false);
    expect((await client.sync({ to_device: {} }))["to_device"].events).toEqual([]);
  });

  it("D20: another device's sessions are neither listed nor ended", async () => {
    const { client, me } = scene(t);
    const tablet = t.login(me, "TABLET");
    const { next } = await client.sync({});
    await tablet.sync({});
    const [own] = await list(client);
    expect((await list(tablet)).map(({ id }) => id)).not.toContain(own?.id);
    expect((await tablet.fetch("DELETE", `${SESSIONS}/${own?.id}`)).status).toBe(404);
    expect(await isGone(client, next)).toBe(false);
  });
});

describe("B1-B5: what a session holds", () => {
  it("B1: a session that never named to_device neither receives nor acknowledges nor holds", async () => {
    const { client } = scene(t);
    const bystander = await client.sync({});
    const reader = await client.sync({ to_device: {} });
    const message = toDevice("@b:test");
    await t.deliver(client, v2({ to_device: [message] }));
    const after = await client.sync({}, { since: bystander.next });
    expect(after["to_device"]).toBeUndefined();
    await client.sync({}, { since: after.next });
    const got = await client.sync({}, { since: reader.next });
    expect(got["to_device"].events).toEqual([message]);
    await client.sync({}, { since: got.next });
    expect((await client.sync({ to_device: {} }))["to_device"].events).toEqual([]);
  });

  it("B5: a session holds from its first request on, before any token of it came back", async () => {
    const { client } = scene(t);
    const reader = await client.sync({ to_device: {} });
    const message = toDevice("@b:test");
    await t.deliver(client, v2({ to_device: [message] }));
    // The answer is lost on the way, so it asks again as at first.
    await client.sync({ to_device: {} });
    const read = await client.sync({}, { since: reader.next });
    await client.sync({}, { since: read.next });
    expect((await list(client)).map((session) => session.to_device_held).sort()).toEqual([0, 1]);
  });

  it("B10 D2: a device under a newer token keeps its session and its messages", async () => {
    const { client } = scene(t);
    const first = await client.sync({ to_device: {} });
    const message = toDevice("@b:test");
    await t.deliver(client, v2({ to_device: [message] }));
    const renewed = t.refresh(client);
    expect((await renewed.sync({}, { since: first.next }))["to_device"].events).toEqual([message]);
  });

  it("S2 D9: a session that drops the stream holds nothing any more, and takes part again when it names it", async () => {
    const { client } = scene(t);
    const one = await client.sync({ to_device: {} });
    const two = await client.sync({ to_device: {} });
    const messages = [toDevice("@b:test", { n: 1 }), toDevice("@b:test", { n: 2 })];
    await t.deliver(client, v2({ to_device: messages.slice(0, 1) }));
    const read = await client.sync({}, { since: one.next });
    const dropped = await client.sync({ to_device: null }, { since: two.next });
    await client.sync({}, { since: read.next });
    await t.deliver(client, v2({ to_device: messages.slice(1) }));
    // The first message is purged, the second still stored.
    expect((await client.sync({ to_device: {} }, { since: dropped.next }))["to_device"].events).toEqual(messages.slice(1));
  });
});
