import { describe, expect, it } from "vitest";
import { ev, newRoom } from "../support/fake-homeserver.ts";
import { ALICE, all, BOB, follow, followNothing, messages } from "../support/followed-room.ts";
import { ids } from "../support/rooms.ts";
import { DIALECTS, stateOf, timelineIds } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const NOWHERE = { lists: { all: { ranges: [[50, 59]] as const } } };

describe.each(DIALECTS)("timelines", (dialect) => {
  const config = { limit: 3 };

  it("M34: at first the newest, oldest first, limited if there are more", async () => {
    const timeline = messages(5);
    const room = await follow(t, dialect, { config, parts: { timeline } });
    expect(timelineIds(room.first)).toEqual(ids(timeline.slice(-3)));
    expect(room.first).toMatchObject({ limited: true, num_live: 0, prev_batch: expect.any(String) as unknown });
    expect(room.first["timeline"][0]).not.toHaveProperty("room_id");
  });

  it("M34: at first all events if there are few, not limited", async () => {
    const timeline = messages(3);
    const room = await follow(t, dialect, { config, parts: { timeline } });
    expect(timelineIds(room.first)).toEqual(ids(timeline));
    expect(room.first).toMatchObject({ limited: false, num_live: 0 });
  });

  it("M34: at first it is limited if the homeserver has more", async () => {
    const timeline = messages(2);
    const room = await follow(t, dialect, { config, parts: { timeline, limited: true, prev_batch: "before-them" } });
    expect(timelineIds(room.first)).toEqual(ids(timeline));
    expect(room.first).toMatchObject({ limited: true, prev_batch: "before-them" });
  });

  it("M34: then the new ones", async () => {
    const room = await follow(t, dialect, { config, parts: { timeline: messages(3) } });
    const timeline = messages(3);
    await room.deliver({ timeline: timeline.slice(0, 1) }, { timeline: timeline.slice(1) });
    const then = await room.next();
    expect(timelineIds(then)).toEqual(ids(timeline));
    expect(then).toMatchObject({ limited: false, num_live: 3 });
    expect(then).not.toHaveProperty("initial");
    expect(await room.next()).toBeUndefined();
  });

  it("M34: more new ones than the limit: the newest of them, limited, and prev_batch before the first", async () => {
    const room = await follow(t, dialect, { config, parts: { timeline: messages(1) } });
    const last = messages(3);
    await room.deliver({ timeline: messages(2), prev_batch: "p1" }, { timeline: last, prev_batch: "p2" });
    const then = await room.next();
    expect(timelineIds(then)).toEqual(ids(last));
    expect(then).toMatchObject({ limited: true, num_live: 3, prev_batch: "p2" });
    const next = ev.message(ALICE);
    await room.deliver({ timeline: [next] });
    const after = await room.next();
    expect(timelineIds(after)).toEqual([next.event_id]);
    expect(after).toMatchObject({ limited: false, num_live: 1 });
  });

  it("M34 M33: a room that was joined meanwhile has some of its history from before, that is not live", async () => {
    const nobody = await followNothing(t, dialect, { limit: 4 });
    const old = messages(2);
    const joined = ev.member(nobody.me, "join", {}, { unsigned: { prev_content: { membership: "invite" } } });
    const fresh = messages(2);
    await nobody.deliver({ state: newRoom(ALICE), timeline: [...old, joined, ...fresh], limited: true, prev_batch: "p" });
    const room = await nobody.next();
    expect(timelineIds(room)).toEqual([...ids(old.slice(1)), joined.event_id, ...ids(fresh)]);
    expect(room).toMatchObject({ initial: true, limited: true, num_live: 3 });
  });

  it("M34 M22: a room that comes into scope has one live event of several", async () => {
    const room = await follow(t, dialect, { config });
    const scopes = { ...NOWHERE };
    room.answer = await room.client.sync({ ...scopes, connId: "fresh" });
    const [old, live] = [messages(2), ev.message(ALICE)];
    await room.deliver({ timeline: old });
    await room.ask({ ...scopes, connId: "fresh" });
    await room.deliver({ timeline: [live] });
    const sent = await room.ask({ ...all(config), connId: "fresh" });
    expect(timelineIds(sent)).toEqual([...ids(old), live.event_id]);
    expect(sent).toMatchObject({ initial: true, num_live: 1, limited: false });
  });

  it("M23: a room out of scope is sent the events that it missed, limited only where there are more than asked", async () => {
    for (const [count, limited] of [[3, false] as const, [4, true] as const]) {
      const room = await follow(t, dialect, { config, parts: { timeline: messages(2) } });
      await room.ask(NOWHERE);
      const missed = messages(count);
      await room.deliver({ timeline: missed });
      expect(await room.ask(NOWHERE)).toBeUndefined();
      const back = await room.next();
      expect(timelineIds(back)).toEqual(ids(missed.slice(-3)));
      expect(back).toMatchObject({ limited, num_live: 0 });
      expect(back).not.toHaveProperty("initial");
      expect(await room.next()).toBeUndefined();
    }
  });

  it("M35: a gap makes a timeline limited, however few events follow, and nothing from before it is sent with them", async () => {
    const room = await follow(t, dialect, { config, parts: { timeline: messages(2) } });
    const after = ev.message(ALICE);
    await room.deliver({ timeline: messages(1) }, { timeline: [after], limited: true, prev_batch: "gap" });
    const then = await room.next();
    expect(timelineIds(then)).toEqual([after.event_id]);
    expect(then).toMatchObject({ limited: true, prev_batch: "gap", num_live: 1 });
    const anew = await room.anew({ limit: 10 });
    expect(timelineIds(anew)).toEqual([after.event_id]);
    expect(anew).toMatchObject({ limited: true, prev_batch: "gap" });
  });

  it("M35: a gap while the room was out of scope; a raised limit does not reach over it", async () => {
    const room = await follow(t, dialect, { config, parts: { timeline: messages(2) } });
    await room.ask(NOWHERE);
    const after = messages(2);
    await room.deliver({ timeline: messages(3) }, { timeline: after, limited: true, prev_batch: "gap" });
    await room.ask(NOWHERE);
    const back = await room.next();
    expect(timelineIds(back)).toEqual(ids(after));
    expect(back).toMatchObject({ limited: true, prev_batch: "gap" });
    const raised = await room.next({ limit: 9 });
    expect(timelineIds(raised)).toEqual(ids(after));
    expect(raised).toMatchObject({ limited: true, prev_batch: "gap" });
  });

  it("M35 M38: the state that a gap changed is sent, though no event of the timeline says it", async () => {
    const asked = { ...config, state: [["m.room.topic", ""]] as const };
    const room = await follow(t, dialect, { config: asked, state: [ev.topic(ALICE, "old")], parts: { timeline: messages(1) } });
    const topic = ev.topic(ALICE, "new");
    await room.deliver({ state: [topic], timeline: messages(1), limited: true, prev_batch: "gap" });
    const then = await room.next();
    expect(then?.["required_state"]).toMatchObject([{ event_id: topic.event_id }]);
    expect(timelineIds(then)).toHaveLength(1);
    expect(timelineIds(then)).not.toContain(topic.event_id);
  });

  it("M35: a gap that comes before its first event", async () => {
    const room = await follow(t, dialect, { config, parts: { timeline: messages(2) } });
    await room.deliver({ timeline: [], limited: true, prev_batch: "early" });
    await room.next();
    const after = ev.message(ALICE);
    await room.deliver({ timeline: [after] });
    const then = await room.next();
    expect(timelineIds(then)).toEqual([after.event_id]);
    expect(then).toMatchObject({ limited: true });
    expect(timelineIds(await room.anew())).toEqual([after.event_id]);
  });

  it("M35: a repeated event is sent once, at its position", async () => {
    const [a, b, c, d] = [ev.message(ALICE, "a"), ev.message(ALICE, "b"), ev.message(ALICE, "c"), ev.message(ALICE, "d")];
    const room = await follow(t, dialect, { parts: { timeline: [a, b] } });
    await room.deliver({ timeline: [b, c, c] });
    expect(timelineIds(await room.next())).toEqual(ids([c]));
    await room.deliver({ timeline: [a, c, d], limited: true, prev_batch: "x" });
    expect(timelineIds(await room.next())).toEqual(ids([d]));
    expect(timelineIds(await room.anew())).toEqual(ids([a, b, c, d]));
  });

  it("M36: a raised limit has the newest events sent at once, those known with them, and says so", async () => {
    const timeline = messages(5);
    const room = await follow(t, dialect, { config: { limit: 1 }, parts: { timeline } });
    const raised = await room.next({ limit: 4 }, { timeout: 30_000 });
    expect(timelineIds(raised)).toEqual(ids(timeline.slice(-4)));
    expect(raised).toMatchObject({ unstable_expanded_timeline: true, limited: true, num_live: 0 });
    expect(raised).not.toHaveProperty("initial");
    expect(await room.next({ limit: 4 })).toBeUndefined();
    const full = await room.next({ limit: 5 });
    expect(timelineIds(full)).toEqual(ids(timeline));
    expect(full).toMatchObject({ unstable_expanded_timeline: true, limited: false, num_live: 0 });
  });

  it("M36: with new events: all of the newest, of which the new ones are live", async () => {
    const timeline = messages(5);
    const room = await follow(t, dialect, { config: { limit: 1 }, parts: { timeline } });
    const fresh = ev.message(BOB);
    await room.deliver({ timeline: [fresh] });
    const raised = await room.next({ limit: 3 });
    expect(timelineIds(raised)).toEqual([...ids(timeline.slice(-2)), fresh.event_id]);
    expect(raised).toMatchObject({ unstable_expanded_timeline: true, num_live: 1 });
  });

  it("M36: lowered and raised again: events are sent again only if there was a gap", async () => {
    const timeline = messages(3);
    const room = await follow(t, dialect, { config: { limit: 3 }, parts: { timeline } });
    await room.deliver({ timeline: messages(1) });
    expect(await room.next({ limit: 1 })).toMatchObject({ limited: false });
    expect(await room.next({ limit: 3 })).toBeUndefined();
    const missed = messages(2);
    await room.deliver({ timeline: missed });
    expect(await room.next({ limit: 1 })).toMatchObject({ limited: true });
    const raised = await room.next({ limit: 3 });
    expect(timelineIds(raised).slice(-2)).toEqual(ids(missed));
    expect(raised).toMatchObject({ unstable_expanded_timeline: true });
  });

  it("M36: the same position again has it sent again", async () => {
    const timeline = messages(3);
    const room = await follow(t, dialect, { config: { limit: 1 }, parts: { timeline } });
    const { pos } = room.answer;
    for (let tries = 0; tries < 2; tries += 1) {
      const raised = await room.next({ limit: 3 }, { pos });
      expect(timelineIds(raised)).toEqual(ids(timeline));
      expect(raised).toMatchObject({ unstable_expanded_timeline: true });
    }
  });

  it("M37: with a limit of 0 there is no timeline, nor its other fields", async () => {
    const asked = { limit: 0, state: [["m.room.topic", ""]] as const };
    const room = await follow(t, dialect, { config: asked, state: [ev.topic(ALICE, "x")], parts: { timeline: messages(3) } });
    await room.deliver({ timeline: [ev.topic(ALICE, "y"), ev.message(ALICE)] });
    for (const sent of [room.first, await room.next()]) {
      expect(stateOf(sent)).toEqual(["m.room.topic|"]);
      expect(sent).toHaveProperty("bump_stamp");
      for (const field of ["timeline", "limited", "prev_batch", "num_live"]) expect(sent).not.toHaveProperty(field);
    }
  });

  it("M37 M36: what came while the limit was 0 is not lost when it is raised again", async () => {
    const timeline = messages(2);
    const room = await follow(t, dialect, { config, parts: { timeline } });
    const missed = messages(2);
    await room.deliver({ timeline: missed });
    await room.next({ limit: 0 });
    const raised = await room.next();
    expect(timelineIds(raised)).toEqual([...ids(timeline.slice(-1)), ...ids(missed)]);
    expect(raised).toMatchObject({ unstable_expanded_timeline: true });
    expect(await room.next({ limit: 0 })).toBeUndefined();
    expect(await room.next()).toBeUndefined();
  });

  it("M37 M36: raised from 0, the newest events come", async () => {
    const timeline = messages(3);
    const room = await follow(t, dialect, { config: { limit: 0 }, parts: { timeline } });
    const raised = await room.next({ limit: 2 }, { timeout: 30_000 });
    expect(timelineIds(raised)).toEqual(ids(timeline.slice(-2)));
    expect(raised).toMatchObject({ unstable_expanded_timeline: true, limited: true });
  });
});
