/** D22, D11: two processes on one database act as one server. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { ev } from "../support/fake-homeserver.ts";
import { hang, hangRequest, membersOf, type Scene, scene, typingOf } from "../support/scene.ts";
import { startV3, type V3Client, V3Fixture } from "../support/v3.ts";

let t: V3Fixture;
let second: V3Fixture;
beforeAll(async () => {
  t = await startV3();
  second = new V3Fixture({}, { hs: t.hs, database: t.database });
  await second.start();
});
afterAll(async () => {
  await second.stopServer();
  await t.stop();
});

/** The scene's client, at the second process. */
const there = ({ client }: Scene): V3Client => second.clientOf(client.userId, client.deviceId, client.token);

it("D22: any process can serve any request of a session, pages too", async () => {
  const here = scene(t, { others: ["@b:test"] });
  const first = await here.client.sync({ room_members: { room_id: here.room, p: { limit: 1 } }, typing: { room_id: here.room } });
  const page = await there(here).sync({ room_members: { p: { since: first["room_members"].p.next } } }, { since: first.next });
  expect(membersOf(page)).toEqual(["@b:test"]);
  await here.type("@b:test");
  const news = await there(here).sync({}, { since: first.next });
  expect(typingOf(news)).toEqual([["@b:test"]]);
  expect(Object.keys(await here.client.sync({}, { since: news.next }))).toEqual(["next"]);
});

it("D7: a request that waits at one process is woken by what another one polls", async () => {
  const here = scene(t);
  const first = await here.client.sync({ typing: { room_id: here.room }, room_members: { room_id: here.room } });
  const { answer } = await hang(there(here), {}, { since: first.next, timeout: 60_000 });
  await here.deliver({ timeline: [ev.member("@b:test")] });
  expect(membersOf(await answer)).toEqual(["@b:test"]);
  expect(t.hs.peakPolls(here.client.token)).toBe(1);
});

it("D11: a newer request at another process ends the older, and not the other way round", async () => {
  const here = scene(t);
  const { next } = await here.client.sync({ typing: { room_id: here.room } });
  const { answer: older } = await hang(here.client, {}, { since: next, timeout: 60_000 });
  const { answer: newer } = await hang(there(here), {}, { since: next, timeout: 60_000 });
  expect(await older).toEqual({ next });
  await here.type("@b:test");
  expect(typingOf(await newer)).toEqual([["@b:test"]]);
});

it("D2: a token that dies ends the wait at every process", async () => {
  const here = scene(t);
  const { next } = await here.client.sync({ typing: { room_id: here.room } });
  const { reply } = await hangRequest(there(here), {}, { since: next, timeout: 60_000 });
  t.hs.revoke(here.client.token);
  expect((await reply).body["errcode"]).toBe("M_UNKNOWN_TOKEN");
});

it("D23: a first request at the process that does not poll is answered as well", async () => {
  const here = scene(t);
  const [one, two] = await Promise.all([here.client.sync({ typing: { room_id: here.room } }), there(here).sync({ typing: { room_id: here.room } })]);
  expect([typingOf(one), typingOf(two)]).toEqual([[], []]);
  expect(t.hs.peakPolls(here.client.token)).toBe(1);
});

it("D22: when the process that polls stops, the other takes over, and nothing is lost", async () => {
  const third = new V3Fixture({}, { hs: t.hs, database: t.database });
  await third.start();
  const here = scene(third);
  const { next } = await here.client.sync({ typing: { room_id: here.room } });
  await third.stopServer();
  const { answer } = await hang(there(here), {}, { since: next, timeout: 60_000 });
  await here.type("@b:test");
  expect(typingOf(await answer)).toEqual([["@b:test"]]);
});
