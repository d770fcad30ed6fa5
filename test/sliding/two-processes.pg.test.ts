/** Two processes on one database act as one server. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ev, toDevice, v2 } from "../support/fake-homeserver.ts";
import { type Scene, scene } from "../support/scene.ts";
import { type Ask, DIALECTS, SlidingClient, timelineIds } from "../support/sliding.ts";
import { ALL, hangReply, hangSliding, LONG, newsOf, NOTED, UNKNOWN_POS } from "../support/sliding-waits.ts";
import { startV3, V3Fixture } from "../support/v3.ts";

let t: V3Fixture;
let second: V3Fixture;
beforeAll(async () => {
  t = await startV3({ sliding: NOTED });
  second = new V3Fixture({ sliding: NOTED }, { hs: t.hs, database: t.database });
  await second.start();
});
afterAll(async () => {
  await second.stopServer();
  await t.stop();
});

describe.each(DIALECTS)("two processes (%s)", (dialect) => {
  const phoneOf = ({ client }: Pick<Scene, "client">) => new SlidingClient(client, dialect);
  /** The scene's client, at another process. */
  const at = (process: V3Fixture, { client }: Scene) => new SlidingClient(process.clientOf(client.userId, client.deviceId, client.token), dialect);

  it("M5 M3: any process serves any request of a connection, retries too", async () => {
    const one = scene(t, { others: ["@bob:test"], timeline: [ev.message("@bob:test")] });
    const [here, there] = [phoneOf(one), at(second, one)];
    const lazily = { lists: { all: { ranges: [[0, 9]], limit: 5, state: [["m.room.member", "$LAZY"]] } } } as const;
    const first = await here.sync(lazily);
    expect(newsOf(await there.sync(lazily, { pos: first.pos }))).toEqual({});
    await one.deliver({ timeline: [ev.message("@bob:test"), ev.name(one.me, "X")] });
    const [a, b] = [await there.sync(lazily, { pos: first.pos }), await here.sync(lazily, { pos: first.pos })];
    expect(a.rooms).toEqual(b.rooms);
    for (const phone of [here, there]) for (const { pos } of [a, b]) expect(newsOf(await phone.sync(lazily, { pos }))).toEqual({});
  });

  it("M5 M7: a request that waits at one process is woken by what another one polls", async () => {
    const one = scene(t);
    // A request that shows the user as online has a waiting poll sent again.
    const ask: Ask = { ...ALL, more: { set_presence: "offline" } };
    const first = await phoneOf(one).sync(ask);
    const { answer } = await hangSliding(t, at(second, one), ask, { pos: first.pos, timeout: LONG });
    const message = ev.message("@bob:test");
    await one.deliver({ timeline: [message] });
    expect(timelineIds((await answer).rooms[one.room])).toEqual([message.event_id]);
    expect(t.hs.peakPolls(one.client.token)).toBe(1);
  });

  it("M4 M5: a newer request at another process ends the older", async () => {
    const one = scene(t);
    const { pos } = await phoneOf(one).sync(ALL);
    const older = await hangSliding(t, phoneOf(one), ALL, { pos, timeout: LONG });
    const newer = await hangSliding(t, at(second, one), ALL, { pos, timeout: LONG });
    const ended = await older.answer;
    expect([ended.pos, newsOf(ended)]).toEqual([pos, {}]);
    const message = ev.message("@bob:test");
    await one.deliver({ timeline: [message] });
    expect(timelineIds((await newer.answer).rooms[one.room])).toEqual([message.event_id]);
  });

  it("M2 M5: a connection that begins from scratch at one process is unknown at the other", async () => {
    const one = scene(t);
    const first = await phoneOf(one).sync(ALL);
    await at(second, one).sync(ALL, { pos: first.pos });
    await at(second, one).sync(ALL);
    for (const phone of [phoneOf(one), at(second, one)]) expect((await phone.request(ALL, { pos: first.pos })).body).toEqual(UNKNOWN_POS);
  });

  it("M5 M7: a token that dies ends the wait at every process", async () => {
    const one = scene(t);
    const { pos } = await phoneOf(one).sync(ALL);
    const { reply } = await hangReply(t, at(second, one), ALL, { pos, timeout: LONG });
    t.hs.revoke(one.client.token);
    const { status, body } = await reply;
    expect([status, body["errcode"]]).toEqual([401, "M_UNKNOWN_TOKEN"]);
  });

  it("M5 M46: messages are acknowledged at any process", async () => {
    const one = scene(t);
    const queue = (since?: string) => ({ ext: { to_device: { enabled: true, ...(since !== undefined && { since }) } } });
    await phoneOf(one).sync(queue());
    await t.deliver(one.client, v2({ to_device: [toDevice("@bob:test", { n: 1 })] }));
    const first = await at(second, one).sync(queue());
    expect(first.extensions["to_device"].events).toHaveLength(1);
    const since: string = first.extensions["to_device"].next_batch;
    expect((await phoneOf(one).sync(queue(since))).extensions["to_device"].events).toEqual([]);
    expect((await at(second, one).sync(queue(since))).extensions["to_device"].events).toEqual([]);
  });

  it("M5: when the process that polls stops, the other takes over, and the position stays valid", async () => {
    const third = new V3Fixture({ sliding: NOTED }, { hs: t.hs, database: t.database });
    await third.start();
    const one = scene(third);
    const { pos } = await phoneOf(one).sync(ALL);
    await third.stopServer();
    const { answer } = await hangSliding(t, at(second, one), ALL, { pos, timeout: LONG });
    const message = ev.message("@bob:test");
    await one.deliver({ timeline: [message] });
    expect(timelineIds((await answer).rooms[one.room])).toEqual([message.event_id]);
  });
});
