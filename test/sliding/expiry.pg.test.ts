/** How long connections live, and how many of them there are. */

import { describe, expect, it } from "vitest";
import { ev, newRoom, v2 } from "../support/fake-homeserver.ts";
import { leaveIdle, retain } from "../support/idle.ts";
import { DAY, HOUR } from "../support/retention-fixture.ts";
import { scene } from "../support/scene.ts";
import { DIALECTS, SlidingClient, timelineIds } from "../support/sliding.ts";
import { ALL, newsOf, UNKNOWN_POS } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const MOST = 4;

const t = v3Server({ sliding: { connectionsPerDevice: MOST } });

describe.each(DIALECTS)("expiry (%s)", (dialect) => {
  /** A user in the scene's room and three more, and a function that sends an event to all of them. */
  async function busyScene() {
    const one = scene(t);
    const rooms = [one.room, ...["a", "b", "c"].map((name) => `${one.room}${name}`)];
    const phone = new SlidingClient(one.client, dialect);
    await phone.sync(ALL);
    await t.deliver(one.client, v2({ join: Object.fromEntries(rooms.slice(1).map((room) => [room, { state: newRoom(one.me) }])) }));
    const tell = (count: number) =>
      t.deliver(one.client, v2({ join: Object.fromEntries(rooms.slice(0, count).map((room) => [room, { timeline: [ev.message("@bob:test")] }])) }));
    return { one, rooms, phone, tell };
  }

  it("M93 TestSessionExpiry: a connection that was idle for 30 days is unknown, and a new one begins", async () => {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    const { pos } = await phone.sync(ALL);
    await leaveIdle(t, one.me, 30 * DAY - HOUR);
    await retain(t);
    expect((await phone.request(ALL, { pos })).status).toBe(200);
    await leaveIdle(t, one.me, 30 * DAY + HOUR);
    await retain(t);
    expect((await phone.request(ALL, { pos })).body).toEqual(UNKNOWN_POS);
    expect((await phone.sync(ALL)).rooms[one.room]?.["initial"]).toBe(true);
  });

  it("M93 D20: a session of the same device ends after 7 days", async () => {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    const { pos } = await phone.sync(ALL);
    const { next } = await one.client.sync({ room_list: {} });
    await leaveIdle(t, one.me, 8 * DAY);
    await retain(t);
    expect((await one.client.request({}, { since: next })).status).toBe(400);
    expect((await phone.request(ALL, { pos })).status).toBe(200);
  });

  it("M93: use keeps a connection alive, also where there is never anything to send", async () => {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    const { pos } = await phone.sync(ALL);
    for (let i = 0; i < 3; i += 1) {
      await leaveIdle(t, one.me, 30 * DAY - HOUR);
      expect(newsOf(await phone.sync(ALL, { pos }))).toEqual({});
      await retain(t, HOUR * 2);
    }
    expect((await phone.request(ALL, { pos })).status).toBe(200);
  });

  it("M93: a connection with much to send continues, however long it was idle", async () => {
    const { one, phone, tell, rooms } = await busyScene();
    const { pos } = await phone.sync(ALL);
    await tell(4);
    await leaveIdle(t, one.me, 29 * DAY);
    const busy = await phone.sync(ALL, { pos });
    expect(Object.keys(busy.rooms).toSorted()).toEqual(rooms.toSorted());
    expect(Object.values(busy.rooms).some((room) => room["initial"] === true)).toBe(false);
  });

  it("M94: a device has a bounded number of connections, and the longest idle makes room", async () => {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    const ids = ["a", "b", "c", "d", "e"];
    const firsts = new Map<string, string>();
    for (const connId of ids) {
      firsts.set(connId, (await phone.sync({ ...ALL, connId })).pos);
      if (connId === "a") await leaveIdle(t, one.me, HOUR);
    }
    const statuses = await Promise.all(ids.map(async (connId) => (await phone.request({ ...ALL, connId }, { pos: firsts.get(connId) })).status));
    expect(statuses).toEqual([400, 200, 200, 200, 200]);
    const tablet = new SlidingClient(t.login(one.me, "TABLET"), dialect);
    await tablet.sync(ALL);
    expect((await phone.request({ ...ALL, connId: "b" }, { pos: firsts.get("b") })).status).toBe(200);
  });

  it("M94: starting one connection again and again does not affect the others", async () => {
    const phone = new SlidingClient(scene(t).client, dialect);
    const remaining = await phone.sync({ ...ALL, connId: "kept" });
    for (let i = 0; i < 2 * MOST; i += 1) await phone.sync(ALL);
    expect((await phone.request({ ...ALL, connId: "kept" }, { pos: remaining.pos })).status).toBe(200);
  });

  it("M96 M22 M34: retention costs a live connection no news", async () => {
    const one = scene(t, { state: [ev.topic("@x:test", "tea")] });
    const phone = new SlidingClient(one.client, dialect);
    const ask = { lists: { all: { ranges: [[0, 9]] as const, limit: 5, state: [["m.room.topic", ""]] as const } } };
    const { pos } = await phone.sync(ask);
    const topic = ev.topic("@bob:test", "coffee");
    const messages = Array.from({ length: 8 }, () => ev.message("@bob:test"));
    await one.deliver({ timeline: [topic, ...messages.slice(0, 4)], prev_batch: "p1" });
    await retain(t);
    await retain(t, 2 * HOUR);
    await one.deliver({ timeline: messages.slice(4), prev_batch: "p2" });
    await retain(t, 4 * HOUR);
    await retain(t, 6 * HOUR);
    const then = await phone.sync(ask, { pos });
    expect(timelineIds(then.rooms[one.room])).toEqual(messages.slice(3).map((event) => event.event_id));
    expect(then.rooms[one.room]).toMatchObject({ limited: true, required_state: [{ event_id: topic.event_id }] });
    expect(then.rooms[one.room]?.["initial"]).toBeUndefined();
  });
});
