/** Positions: whose they are, how long they are valid, and what they stand for. */

import { describe, expect, it } from "vitest";
import { ev, newRoom, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { DIALECTS, SlidingClient, stateOf, timelineIds } from "../support/sliding.ts";
import { ALL, hangReply, hangSliding, LONG, newsOf, NOTED, UNKNOWN_POS } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

describe.each(DIALECTS)("positions (%s)", (dialect) => {
  const phoneOf = (one: { client: SlidingClient["client"] }) => new SlidingClient(one.client, dialect);

  it("M1: a position that we never issued is unknown, whatever it looks like", async () => {
    const phone = phoneOf(scene(t));
    const { pos } = await phone.sync(ALL);
    expect(pos.length).toBeLessThanOrEqual(4096);
    const changed = pos.slice(0, -1) + (pos.endsWith("A") ? "B" : "A");
    const forged = ["", "0", "5/s58_224_0", "syncv3_", "syncv3_AAAA", "s3d_1_1", changed, `${pos}A`, pos.slice(0, 30), pos.repeat(40), "\u0000"];
    for (const one of forged) {
      const { status, body } = await phone.request(ALL, { pos: one });
      expect([status, body], one).toEqual([400, UNKNOWN_POS]);
    }
    expect(newsOf(await phone.sync(ALL, { pos })), "and costs the connection nothing").toEqual({});
  });

  it("M1: a position is no longer than 4096 characters, with the longest conn_id and a long token of the homeserver", async () => {
    const token = t.hs.login(`@long-${dialect}:test`, "PHONE");
    t.hs.queueSync(token, v2({ next_batch: "s".repeat(2000) }));
    const phone = new SlidingClient(t.clientOf(`@long-${dialect}:test`, "PHONE", token), dialect);
    const ask = { ...ALL, connId: "\u0001".repeat(255) };
    const { pos } = await phone.sync(ask);
    expect(pos.length).toBeLessThanOrEqual(4096);
    expect((await phone.request(ask, { pos })).status).toBe(200);
  });

  it("M1 M62: another user's, another device's, and another connection's position is unknown", async () => {
    const mine = scene(t);
    const phone = phoneOf(mine);
    const { pos } = await phone.sync(ALL);
    const tablet = new SlidingClient(t.login(mine.me, "TABLET"), dialect);
    const other = phoneOf(scene(t));
    for (const one of [tablet, other]) {
      await one.sync(ALL);
      expect((await one.request(ALL, { pos })).body).toEqual(UNKNOWN_POS);
    }
    expect((await phone.request({ ...ALL, connId: "another" }, { pos })).body).toEqual(UNKNOWN_POS);
    expect((await phone.request({ ...ALL, connId: null }, { pos })).body).toEqual(UNKNOWN_POS);
    expect((await phone.request(ALL, { pos })).status).toBe(200);
  });

  it("M1 M4 M62: a stolen position does not end its owner's waiting request", async () => {
    const mine = scene(t);
    const phone = phoneOf(mine);
    const { pos } = await phone.sync(ALL);
    const tablet = new SlidingClient(t.login(mine.me, "TABLET"), dialect);
    await tablet.sync(ALL);
    const { answer } = await hangSliding(t, phone, ALL, { pos, timeout: LONG });
    expect((await tablet.request(ALL, { pos })).body).toEqual(UNKNOWN_POS);
    expect((await phone.request({ ...ALL, connId: "another" }, { pos })).body).toEqual(UNKNOWN_POS);
    const message = ev.message("@bob:test");
    await mine.deliver({ timeline: [message] });
    expect(timelineIds((await answer).rooms[mine.room])).toEqual([message.event_id]);
  });

  it("M2: a request without a position begins its connection from scratch, and earlier positions are unknown from then on", async () => {
    const one = scene(t);
    const phone = phoneOf(one);
    const first = await phone.sync(ALL);
    const second = await phone.sync(ALL, { pos: first.pos });
    const elsewhere = await phone.sync({ ...ALL, connId: "other" });
    const fresh = await phone.sync(ALL);
    expect(fresh.rooms[one.room]?.["initial"]).toBe(true);
    for (const { pos } of [first, second]) expect((await phone.request(ALL, { pos })).body).toEqual(UNKNOWN_POS);
    expect(newsOf(await phone.sync({ ...ALL, connId: "other" }, { pos: elsewhere.pos }))).toEqual({});
    expect(newsOf(await phone.sync(ALL, { pos: fresh.pos }))).toEqual({});
  });

  it("M2: no conn_id is the same as an empty one", async () => {
    const phone = phoneOf(scene(t));
    const first = await phone.sync({ ...ALL, connId: null });
    expect((await phone.request({ ...ALL, connId: "" }, { pos: first.pos })).status).toBe(200);
    await phone.sync({ ...ALL, connId: "" });
    expect((await phone.request({ ...ALL, connId: null }, { pos: first.pos })).body).toEqual(UNKNOWN_POS);
  });

  it("M2: connections of a device are independent of each other", async () => {
    const one = scene(t);
    const phone = phoneOf(one);
    const [a, b] = [await phone.sync({ ...ALL, connId: "a" }), await phone.sync({ ...ALL, connId: "b" })];
    expect([a.rooms[one.room]?.["initial"], b.rooms[one.room]?.["initial"]]).toEqual([true, true]);
    const message = ev.message("@bob:test");
    await one.deliver({ timeline: [message] });
    for (const [connId, { pos }] of [["a", a] as const, ["b", b] as const]) {
      expect(timelineIds((await phone.sync({ ...ALL, connId }, { pos })).rooms[one.room])).toEqual([message.event_id]);
    }
  });

  it("M2 TestMultipleConnsAtStartup: of first requests that come together the last continues", async () => {
    const phone = phoneOf(scene(t));
    const replies = await Promise.all([1, 2, 3, 4].map(() => phone.request(ALL)));
    expect(replies.every(({ status }) => status === 200 || status === 400)).toBe(true);
    const going = await Promise.all(
      replies.filter(({ status }) => status === 200).map(async ({ body }) => (await phone.request(ALL, { pos: body["pos"] as string })).status),
    );
    expect(going.filter((status) => status === 200)).toHaveLength(1);
  });

  it("M3: the same position again gets the same answer, with what came meanwhile", async () => {
    const one = scene(t);
    const phone = phoneOf(one);
    const first = await phone.sync(ALL);
    const [a, b] = [ev.message("@bob:test", "a"), ev.message("@bob:test", "b")];
    await one.deliver({ timeline: [a] });
    const lost = await phone.sync(ALL, { pos: first.pos });
    const again = await phone.sync(ALL, { pos: first.pos });
    expect(again.rooms).toEqual(lost.rooms);
    await one.deliver({ timeline: [b] });
    const more = await phone.sync(ALL, { pos: first.pos });
    expect(timelineIds(more.rooms[one.room])).toEqual([a.event_id, b.event_id]);
    expect(newsOf(await phone.sync(ALL, { pos: more.pos }))).toEqual({});
    // A lost answer may have reached the client after all, so its position is as valid as the other.
    expect(timelineIds((await phone.sync(ALL, { pos: lost.pos })).rooms[one.room])).toEqual([b.event_id]);
  });

  it("M3: the same position with another body is computed from what was acknowledged", async () => {
    const one = scene(t);
    const second = `${one.room}second`;
    const phone = phoneOf(one);
    const none = await phone.sync({ lists: {} });
    const listed = await phone.sync(ALL, { pos: none.pos });
    expect(listed.rooms[one.room]?.["initial"]).toBe(true);
    // The answer to the list was never received, so the subscription's answer is in full.
    const topic = ["m.room.topic", ""] as const;
    await t.deliver(one.client, v2({ join: { [second]: { state: newRoom(one.me) }, [one.room]: { timeline: [ev.topic(one.me, "x")] } } }));
    const subscribed = await phone.sync({ subs: { [one.room]: { state: [topic], limit: 1 } } }, { pos: none.pos });
    expect(Object.keys(subscribed.rooms)).toEqual([one.room]);
    expect([subscribed.rooms[one.room]?.["initial"], stateOf(subscribed.rooms[one.room])]).toEqual([true, ["m.room.topic|"]]);
    const grown = await phone.sync(ALL, { pos: subscribed.pos });
    expect(Object.keys(grown.rooms).sort()).toEqual([one.room, second].sort());
    expect([grown.rooms[one.room]?.["initial"], grown.rooms[second]?.["initial"]]).toEqual([undefined, true]);
  });

  it("M3 M39: both forks of a position are sent the members that their timelines need", async () => {
    const one = scene(t, { others: ["@bob:test", "@eve:test"], timeline: [ev.message("@bob:test")] });
    const phone = phoneOf(one);
    const lazily = { lists: { all: { ranges: [[0, 9]], state: [["m.room.member", "$LAZY"]], limit: 1 } } } as const;
    const first = await phone.sync(lazily);
    expect(stateOf(first.rooms[one.room])).toEqual(["m.room.member|@bob:test"]);
    await one.deliver({ timeline: [ev.message("@eve:test")] });
    const left = await phone.sync(lazily, { pos: first.pos });
    const right = await phone.sync(lazily, { pos: first.pos });
    expect([stateOf(left.rooms[one.room]), stateOf(right.rooms[one.room])]).toEqual([["m.room.member|@eve:test"], ["m.room.member|@eve:test"]]);
    await one.deliver({ timeline: [ev.message("@eve:test"), ev.message("@bob:test")] });
    for (const { pos } of [left, right]) {
      const then = await phone.sync(lazily, { pos });
      // With a limit of one it is a gap, after which members are sent again: those of the timeline, once.
      expect(stateOf(then.rooms[one.room])).toEqual(["m.room.member|@bob:test"]);
    }
  });

  it("M4: a newer request of a connection ends an older one, which is sent nothing and keeps its position", async () => {
    const one = scene(t);
    const phone = phoneOf(one);
    const { pos } = await phone.sync(ALL);
    const older = await hangSliding(t, phone, ALL, { pos, timeout: LONG });
    const newer = await hangSliding(t, phone, { ...ALL, ext: { typing: { enabled: true } } }, { pos, timeout: LONG });
    const ended = await older.answer;
    expect([ended.pos, newsOf(ended)]).toEqual([pos, {}]);
    const message = ev.message("@bob:test");
    await one.deliver({ timeline: [message] });
    expect(timelineIds((await newer.answer).rooms[one.room])).toEqual([message.event_id]);
  });

  it("M3 M4 TestOutstandingRequestsGetCancelled: a client that goes away in the middle of a wait comes back with the same position", async () => {
    const one = scene(t);
    const phone = phoneOf(one);
    const { pos } = await phone.sync(ALL);
    const gone = new AbortController();
    const { reply } = await hangReply(t, phone, ALL, { pos, timeout: LONG, signal: gone.signal });
    const failed = reply.then(
      () => "answered",
      () => "gone",
    );
    gone.abort();
    expect(await failed).toBe("gone");
    const message = ev.message("@bob:test");
    await one.deliver({ timeline: [message] });
    const then = await phone.sync({ subs: { [one.room]: { limit: 1 } } }, { pos, timeout: LONG });
    expect(timelineIds(then.rooms[one.room])).toEqual([message.event_id]);
  });

  it("M4: another connection's request ends nothing, and one without a position ends the connection's wait", async () => {
    const one = scene(t);
    const phone = phoneOf(one);
    const { pos } = await phone.sync(ALL);
    const waiting = await hangSliding(t, phone, ALL, { pos, timeout: LONG });
    await phone.sync({ ...ALL, connId: "other" });
    const message = ev.message("@bob:test");
    await one.deliver({ timeline: [message] });
    expect(timelineIds((await waiting.answer).rooms[one.room])).toEqual([message.event_id]);
    const again = await hangSliding(t, phone, ALL, { pos: (await waiting.answer).pos, timeout: LONG });
    await phone.sync(ALL);
    expect(newsOf(await again.answer)).toEqual({});
  });

  it("M5: a restart between any two requests is not noticeable", async () => {
    const one = scene(t, { timeline: [ev.message("@bob:test")] });
    const phone = phoneOf(one);
    const ask = { ...ALL, ext: { account_data: { enabled: true }, typing: { enabled: true } } };
    const first = await phone.sync(ask);
    await t.restart();
    expect(newsOf(await phone.sync(ask, { pos: first.pos }))).toEqual({});
    await t.hs.waitForPoll(one.client.token);
    const message = ev.message("@bob:test");
    await one.deliver({ timeline: [message] });
    const second = await phone.sync(ask, { pos: first.pos });
    await t.restart();
    expect(timelineIds(second.rooms[one.room])).toEqual([message.event_id]);
    expect((await phone.sync(ask, { pos: first.pos })).rooms).toEqual(second.rooms);
    expect(newsOf(await phone.sync(ask, { pos: second.pos }))).toEqual({});
  });
});
