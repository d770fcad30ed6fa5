/** D24: data that an answer needs and that polls do not deliver. */

import { afterEach, expect, it } from "vitest";
import { ev, newRoom, v2 } from "../support/fake-homeserver.ts";
import { hang, membersOf, scene, serveMembers, typingOf } from "../support/scene.ts";
import { WORKERS, v3Server } from "../support/v3.ts";

const FETCH_MS = 1500;

const t = v3Server({ engine: { fetchMs: FETCH_MS } });
afterEach(() => t.hs.heal());

/** Answers `/members` of a room only when `release` is called. */
function slowMembers(room: string, members: readonly unknown[]) {
  const { promise, resolve } = Promise.withResolvers<void>();
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/members`;
  const asked = { now: 0, peak: 0 };
  t.hs.on("GET", path, async () => {
    asked.peak = Math.max(asked.peak, ++asked.now);
    await promise;
    asked.now -= 1;
    return { body: { chunk: members } };
  });
  return { release: resolve, path, asked };
}

it("D24: members that come in time are in the answer, whatever the timeout", async () => {
  const { client, room, members, me } = scene(t, { others: ["@b:test"] });
  const { release, path } = slowMembers(room, members);
  const first = client.sync({ room_members: { room_id: room } }, { timeout: 0 });
  await t.hs.waitForRequest({ path });
  release();
  expect(membersOf(await first)).toEqual([me, "@b:test"]);
});

it("D24: after the longest wait the stream is left out, the others are sent, and it starts by itself later", async () => {
  const { client, room, members, me } = scene(t, { others: ["@b:test"] });
  const { release } = slowMembers(room, members);
  const started = performance.now();
  const first = await client.sync({ room_members: { room_id: room, p: { limit: 1 } }, typing: { room_id: room } }, { timeout: 0 });
  expect(performance.now() - started + 2).toBeGreaterThanOrEqual(FETCH_MS);
  expect(Object.keys(first).sort()).toEqual(["next", "typing"]);
  const waiting = client.sync({}, { since: first.next, timeout: 60_000 });
  release();
  const then = await waiting;
  expect(Object.keys(then).sort()).toEqual(["next", "room_members"]);
  expect(then["room_members"]).toMatchObject({ events: [{ state_key: me }], p: { limit: 1, next: expect.any(String) as unknown } });
});

it("D24: it starts by itself also for a request that comes after the fetch", async () => {
  const { client, room, members, me } = scene(t, { others: ["@b:test"] });
  const { release } = slowMembers(room, members);
  const first = await client.sync({ room_members: { room_id: room } }, { timeout: 0 });
  expect(first["room_members"]).toBeUndefined();
  release();
  expect(membersOf(await client.sync({}, { since: first.next, timeout: 60_000 }))).toEqual([me, "@b:test"]);
  const fetched = t.hs.seen({ path: `${encodeURIComponent(room)}/members` }).length;
  expect(membersOf(await client.sync({ room_members: { room_id: room } }))).toEqual([me, "@b:test"]);
  expect(t.hs.seen({ path: `${encodeURIComponent(room)}/members` })).toHaveLength(fetched);
});

it("D24: two requests that need the same share one fetch", async () => {
  const { client, room, members } = scene(t);
  const [one, two] = [await client.sync({}), await client.sync({})];
  const { release, asked } = slowMembers(room, members);
  const both = [one, two].map((token) => hang(client, { room_members: { room_id: room } }, { since: token.next }));
  const [first, second] = await Promise.all(both);
  // Both wait: a process sends at most one question for it.
  await client.sync({ typing: { room_id: room } });
  release();
  for (const waiting of [first, second]) expect(membersOf((await waiting?.answer) ?? { next: "" })).toEqual([client.userId]);
  expect(asked.peak).toBeLessThanOrEqual(WORKERS);
});

it("D24: a fetch that fails leaves the stream out, and the next request tries again", async () => {
  const { client, room, me, type } = scene(t);
  t.hs.fail({ path: /\/members$/ }, { status: 500, body: "oops" }, 50);
  const first = await client.sync({ room_members: { room_id: room }, typing: { room_id: room } });
  expect(Object.keys(first).sort()).toEqual(["next", "typing"]);
  t.hs.heal();
  await type("@b:test");
  const then = await client.sync({}, { since: first.next });
  expect([typingOf(then), membersOf(then)]).toEqual([[["@b:test"]], [me]]);
});

it("D24: the changes that come while the list is fetched are neither lost nor sent twice", async () => {
  const { client, room, members, me, deliver } = scene(t);
  const { release } = slowMembers(room, members);
  const first = await client.sync({ room_members: { room_id: room } });
  const joined = ev.member("@new:test");
  await deliver({ timeline: [joined], summary: { "m.joined_member_count": 2 } });
  // A client that asks again is answered now; the pending question was asked before.
  serveMembers(t, room, [...members, joined]);
  release();
  const then = await client.sync({}, { since: first.next, timeout: 60_000 });
  expect(membersOf(then)).toEqual([me, "@new:test"]);
  expect(Object.keys(await client.sync({}, { since: then.next }))).toEqual(["next"]);
});

it("D24: older events that come too late leave `room` out, and it starts by itself", async () => {
  const { client, me } = scene(t);
  const room = `!old${me.slice(1)}`;
  await client.sync({});
  const [create, ...rest] = newRoom(me);
  const messages = ["one", "two", "three"].map((text) => ev.message(me, text));
  const { promise, resolve: release } = Promise.withResolvers<void>();
  t.hs.on("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/messages`, async () => {
    await promise;
    return { body: { chunk: [messages[1], messages[0], ...rest.toReversed(), create], start: "p1" } };
  });
  serveMembers(t, room, rest.slice(0, 1));
  await t.deliver(client, v2({ join: { [room]: { state: [...newRoom(me)], timeline: messages.slice(2), limited: true, prev_batch: "p1" } } }));
  const first = await client.sync({ room: { room_id: room, timeline_limit: 3 }, typing: { room_id: room } });
  expect(Object.keys(first).sort()).toEqual(["next", "typing"]);
  release();
  const then = await client.sync({}, { since: first.next, timeout: 60_000 });
  const texts = then["room"].rooms[room].timeline.events.map((event: { content: { body: string } }) => event.content.body);
  expect([then["room"].rooms[room].initial, texts]).toEqual([true, ["one", "two", "three"]]);
});

it("S4 D24: older events that cannot be fetched do not hold back the room: it starts at what is stored", async () => {
  const { client, me } = scene(t);
  const room = `!lost${me.slice(1)}`;
  await client.sync({});
  t.hs.on("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room)}/messages`, { status: 500, body: "oops" });
  await t.deliver(client, v2({ join: { [room]: { state: newRoom(me), timeline: [ev.message(me, "new")], limited: true, prev_batch: "p1" } } }));
  const first = await client.sync({ room: { room_id: room, timeline_limit: 3 } });
  expect(first["room"].rooms[room]).toMatchObject({
    initial: true,
    timeline: { events: [{ content: { body: "new" } }], limited: true, prev_batch: "p1" },
  });
});
