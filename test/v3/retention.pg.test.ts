/** What clients see of retention: only that tokens which were replaced an hour ago get R11 (D10). */

import { beforeAll, expect, it } from "vitest";
import { silentLogger } from "../../src/base/logger.ts";
import { RetentionJob } from "../../src/upstream/retention-job.ts";
import { HOUR } from "../support/retention-fixture.ts";
import { ev } from "../support/fake-homeserver.ts";
import { scene, type Scene } from "../support/scene.ts";
import { type Answer, v3Server } from "../support/v3.ts";
import { Hub } from "../../src/feed/hub.ts";

let clock = 0;
const t = v3Server();
beforeAll(() => {
  clock = Date.now();
});

/** An hour passes, with a run at its beginning and its end. */
async function anHour() {
  const job = new RetentionJob({ sql: t.sql, feed: new Hub(), logger: silentLogger(), sessionIdleMs: 7 * 24 * HOUR, now: () => clock });
  await job.runOnce();
  clock += HOUR;
  return (await job.runOnce()).counts;
}

const messages = (count: number) => Array.from({ length: count }, (_, index) => ev.message("@b:test", `${index}`));
const idsOf = (one: Scene, answer: Answer): string[] =>
  (answer["room"].rooms[one.room].timeline.events as { event_id: string }[]).map((event) => event.event_id);

it("D10: the last used token and all after it are answered as before; an older one is R11 after an hour", async () => {
  const one = scene(t, { others: ["@b:test"] });
  const first = await one.client.sync({ room: { room_id: one.room, timeline_limit: 100 } });
  const [topic, ...rest] = [ev.topic("@b:test", "one"), ...messages(40)];
  await one.deliver({ timeline: [topic, ...rest], prev_batch: "p1" });
  const second = await one.client.sync({}, { since: first.next });
  await one.deliver({ timeline: [ev.topic("@b:test", "two"), ...messages(40)], prev_batch: "p2" });
  await anHour();
  // The first token is the last one used, so nothing can be deleted yet.
  expect(idsOf(one, await one.client.sync({}, { since: first.next })).slice(0, 41)).toEqual([topic, ...rest].map((event) => event.event_id));
  const third = await one.client.sync({}, { since: second.next });
  const counts = await anHour();
  expect(counts.horizons).toBe(1);
  expect(await one.client.request({}, { since: first.next })).toMatchObject({ status: 400, body: { errcode: "M_UNKNOWN_SYNC_SESSION" } });
  const again = await one.client.sync({}, { since: second.next });
  expect([idsOf(one, again), again.next]).toEqual([idsOf(one, third), third.next]);
});

it("S4: a room whose timeline was cut is sent with its newest 100 events and the state before them", async () => {
  const one = scene(t, { others: ["@b:test"], state: [ev.topic("@b:test", "at first")] });
  const first = await one.client.sync({});
  const topics = [ev.topic("@b:test", "early"), ev.topic("@b:test", "before")];
  const timeline = [...topics, ...messages(100), ev.topic("@b:test", "late")];
  await one.deliver({ timeline: timeline.slice(0, 50), prev_batch: "p1" });
  await one.deliver({ timeline: timeline.slice(50), prev_batch: "p2" });
  const second = await one.client.sync({}, { since: first.next });
  const asked = { room: { room_id: one.room, timeline_limit: 100 } };
  const before = await one.client.sync(asked, { since: second.next });
  // Used, so that nothing is held back any more.
  await one.client.sync({}, { since: before.next });
  await one.deliver({ timeline: messages(60), prev_batch: "p3" });
  const after = await one.client.sync({}, { since: before.next });
  await one.client.sync({}, { since: after.next });
  const counts = await anHour();
  expect(counts.timeline).toBeGreaterThan(0);
  const fresh = await one.client.sync(asked);
  const { state, timeline: shown } = fresh["room"].rooms[one.room];
  expect(shown.events).toHaveLength(100);
  expect(shown).toMatchObject({ limited: true, prev_batch: "p3" });
  expect(shown.events.at(39).content).toEqual({ topic: "late" });
  const sent = (state.events as { type: string; content: unknown }[]).filter((event) => event.type === "m.room.topic");
  expect(sent.map((event) => event.content)).toEqual([{ topic: "before" }]);
});
