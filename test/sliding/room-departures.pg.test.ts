import { describe, expect, it } from "vitest";
import { ev, newRoom, v2 } from "../support/fake-homeserver.ts";
import { ALICE, all, BOB, follow, type FollowedRoom, membersTold, messages, stateEvent } from "../support/followed-room.ts";
import { ids } from "../support/rooms.ts";
import { DIALECTS, type RoomAnswer, SlidingClient, stateOf, timelineIds } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const own = (room: FollowedRoom, membership: string, sender = ALICE) => ev.member(room.me, membership, {}, { sender });
/** No members are asked for, but the user's own is sent nevertheless. */
const CONFIG = { limit: 5, state: [["m.room.topic", ""] as const] };
const ENDS = [
  ["leave", (room: FollowedRoom) => own(room, "leave", room.me)],
  ["kick", (room: FollowedRoom) => own(room, "leave")],
  ["ban", (room: FollowedRoom) => own(room, "ban")],
] as const;

/** What Element X needs to recognise that the user is not in the room. */
function expectOwn(told: RoomAnswer | undefined, room: FollowedRoom, membership: string): void {
  expect(membersTold(told)).toContain(`${room.me}: ${membership}`);
  expect(told).not.toHaveProperty("invite_state");
}

describe.each(DIALECTS)("rooms that the user is no longer in", (dialect) => {
  it("M32: a leave, a kick, a ban: the events up to it and the user's membership are sent once, and nothing after", async () => {
    for (const [name, end] of ENDS) {
      const room = await follow(t, dialect, { config: CONFIG, parts: { timeline: messages(2) } });
      const [before, away] = [ev.message(ALICE), end(room)];
      await room.deliver({ timeline: [before] });
      await room.leave({ timeline: [away] });
      const told = await room.next();
      expect(timelineIds(told), name).toEqual([before.event_id, away.event_id]);
      expect(told).toMatchObject({ limited: false, num_live: 2 });
      expect(told).not.toHaveProperty("initial");
      expect(told?.["required_state"]).toMatchObject([{ event_id: away.event_id }]);
      if (dialect === "v4") expect(told).toMatchObject({ membership: name === "ban" ? "ban" : "leave" });
      expect(await room.next(), name).toBeUndefined();
      expect(await room.ask({ subs: { [room.id]: CONFIG } }), name).toBeUndefined();
    }
  });

  it("M32: it ends a wait", async () => {
    const room = await follow(t, dialect, { config: CONFIG });
    const waiting = room.next(undefined, { timeout: 30_000 });
    await room.leave({ timeline: [own(room, "ban")] });
    expectOwn(await waiting, room, "ban");
  });

  it("M32: earlier state is sent as of then, at first and incrementally, with the user's membership", async () => {
    const room = await follow(t, dialect, { config: CONFIG, state: [ev.topic(ALICE, "at first")] });
    const topic = ev.topic(ALICE, "before the ban");
    await room.leave({ timeline: [topic, own(room, "ban")] });
    const told = await room.next();
    expect(stateOf(told)).toEqual([`m.room.member|${room.me}`, "m.room.topic|"]);
    expect(stateEvent(told, "m.room.topic")).toMatchObject({ event_id: topic.event_id });
    const anew = await room.anew();
    expect(anew).toMatchObject({ initial: true });
    expect(stateOf(anew)).toEqual([`m.room.member|${room.me}`, "m.room.topic|"]);
    expect(stateEvent(anew, "m.room.topic")).toMatchObject({ event_id: topic.event_id });
  });

  it("M32: a first answer contains kicks and bans with what preceded them, but no leaves", async () => {
    for (const [name, end] of ENDS) {
      const timeline = messages(2);
      const room = await follow(t, dialect, { config: CONFIG, parts: { timeline } });
      const away = end(room);
      await room.leave({ timeline: [away] });
      const anew = await room.anew();
      if (name === "leave") expect(anew).toBeUndefined();
      else {
        expect(anew).toMatchObject({ initial: true, limited: false, num_live: 0 });
        expect(timelineIds(anew)).toEqual([...ids(timeline), away.event_id]);
        expectOwn(anew, room, name === "ban" ? "ban" : "leave");
      }
    }
  });

  it("M32: a subscription to a room that was left gets it with the user's own membership", async () => {
    const room = await follow(t, dialect, { config: CONFIG, parts: { timeline: messages(2) } });
    await room.leave({ timeline: [own(room, "leave", room.me)] });
    const { rooms } = await room.client.sync({ connId: "another", subs: { [room.id]: CONFIG } });
    expect(rooms[room.id]).toMatchObject({ initial: true });
    expectOwn(rooms[room.id], room, "leave");
  });

  it("M32: it is sent again with the user's membership when more of its timeline or state is asked for", async () => {
    for (const [, end] of ENDS) {
      const room = await follow(t, dialect, { config: { limit: 1 }, state: [ev.topic(ALICE, "x")], parts: { timeline: messages(4) } });
      const away = end(room);
      const membership = String(away.content["membership"]);
      await room.leave({ timeline: [away] });
      expectOwn(await room.next(), room, membership);
      const longer = await room.ask({ subs: { [room.id]: { limit: 4 } } });
      expect(timelineIds(longer)).toHaveLength(4);
      expectOwn(longer, room, membership);
      const more = await room.ask({ subs: { [room.id]: CONFIG } });
      expect(stateOf(more)).toContain("m.room.topic|");
      expectOwn(more, room, membership);
      expect(await room.ask({ subs: { [room.id]: CONFIG } })).toBeUndefined();
    }
  });

  it("M32: a room that was left while no request named it is sent when a request names it", async () => {
    const room = await follow(t, dialect, { config: CONFIG });
    await room.leave({ timeline: [own(room, "leave", room.me)] });
    await room.ask({});
    expectOwn(await room.next(), room, "leave");
    expect(await room.next()).toBeUndefined();
  });

  it("M32: if the homeserver only says that the room was left, the user's membership says so", async () => {
    const room = await follow(t, dialect, { config: CONFIG });
    await room.leave();
    const told = await room.next();
    expect(membersTold(told)).toEqual([`${room.me}: leave`]);
    expect(stateEvent(told, "m.room.member", room.me)).toMatchObject({ sender: room.me, event_id: expect.any(String) as unknown });
  });

  it("M32: the same if the user's membership is asked for by name, by type and as a member of the timeline", async () => {
    for (const state of [[["m.room.member", "$ME"]], [["*", "*"]], [["m.room.member", "$LAZY"]]] as const) {
      const room = await follow(t, dialect, { config: { state } });
      await room.leave();
      expect(membersTold(await room.next())).toContain(`${room.me}: leave`);
      const other = await follow(t, dialect, { config: { state } });
      const away = own(other, "ban");
      await other.leave({ timeline: [away] });
      const told = await other.next();
      expect(stateOf(told).filter((key) => key.endsWith(other.me))).toHaveLength(1);
      expect(stateEvent(told, "m.room.member", other.me)).toMatchObject({ event_id: away.event_id });
    }
  });

  it("M32 M35: left in a gap: limited, the state that the gap changed, and the user's membership", async () => {
    const room = await follow(t, dialect, { config: CONFIG, state: [ev.topic(ALICE, "old")], parts: { timeline: messages(2) } });
    const [topic, away] = [ev.topic(ALICE, "new"), own(room, "leave")];
    await room.leave({ state: [topic], timeline: [away], limited: true, prev_batch: "gap" });
    const told = await room.next();
    expect(timelineIds(told)).toEqual([away.event_id]);
    expect(told).toMatchObject({ limited: true, prev_batch: "gap" });
    expect(stateEvent(told, "m.room.topic")).toMatchObject({ event_id: topic.event_id });
    expectOwn(told, room, "leave");
  });

  it("M32: left, as the state beside an empty timeline says", async () => {
    const room = await follow(t, dialect, { config: CONFIG, parts: { timeline: messages(2) } });
    const away = own(room, "ban");
    await room.leave({ state: [away] });
    const told = await room.next();
    expect(told).not.toHaveProperty("timeline");
    expect(told?.["required_state"]).toMatchObject([{ event_id: away.event_id }]);
  });

  it("M32: a room that is sent as left in the homeserver's first answer", async () => {
    const [id, state] = [`!left-first-${dialect}:test`, [["m.room.topic", ""] as const]];
    const me = `@left-first-${dialect}:test`;
    const away = ev.member(me, "ban", {}, { sender: ALICE, unsigned: { prev_content: { membership: "join" } } });
    const section = { state: [...newRoom(ALICE), ev.topic(ALICE, "x")], timeline: [...messages(1), away] };
    const client = new SlidingClient(t.login(me, "PHONE", v2({ leave: { [id]: section } })), dialect);
    const told = (await client.sync(all({ limit: 5, state }))).rooms[id];
    expect(told).toMatchObject({ initial: true });
    expect(stateOf(told)).toEqual([`m.room.member|${me}`, "m.room.topic|"]);
    expect(timelineIds(told)).toHaveLength(2);
  });

  it("M32: banned after the room was left, and after a kick", async () => {
    const room = await follow(t, dialect, { config: CONFIG });
    await room.leave({ timeline: [own(room, "leave")] });
    expectOwn(await room.next(), room, "leave");
    await room.leave({ timeline: [own(room, "ban")] });
    const told = await room.next();
    expectOwn(told, room, "ban");
    expect(membersTold(told)).toHaveLength(1);
  });

  it("M33: joined again, the room is initial, with a timeline and state of its own, and news of it come", async () => {
    const room = await follow(t, dialect, { config: { ...CONFIG, limit: 20 }, state: [ev.topic(ALICE, "old")], parts: { timeline: messages(2) } });
    await room.leave({ timeline: [own(room, "leave", room.me)] });
    await room.next();
    const [missed, topic, back] = [ev.message(ALICE), ev.topic(ALICE, "new"), own(room, "join", room.me)];
    await room.deliver({ state: [...newRoom(ALICE), topic], timeline: [missed, back], limited: true, prev_batch: "p" });
    const told = await room.next();
    expect(told).toMatchObject({ initial: true, limited: true, prev_batch: "p", num_live: 1, joined_count: 2 });
    expect(timelineIds(told)).toEqual([missed.event_id, back.event_id]);
    expect(stateEvent(told, "m.room.topic")).toMatchObject({ event_id: topic.event_id });
    expect(membersTold(told)).toEqual([]);
    const news = ev.message(ALICE);
    await room.deliver({ timeline: [news] });
    const then = await room.next();
    expect(timelineIds(then)).toEqual([news.event_id]);
    expect(then).not.toHaveProperty("initial");
  });

  it("M33: left and joined again between two requests", async () => {
    const room = await follow(t, dialect, { config: { ...CONFIG, state: [["m.room.member", "$ME"]] }, parts: { timeline: messages(2) } });
    await room.leave({ timeline: [own(room, "leave", room.me)] });
    const back = own(room, "join", room.me);
    await room.deliver({ state: newRoom(ALICE), timeline: [back], limited: true, prev_batch: "p" });
    const told = await room.next();
    expect(told).toMatchObject({ initial: true, limited: true });
    expect(membersTold(told)).toEqual([`${room.me}: join`]);
    expect(await room.next()).toBeUndefined();
  });

  it("M33: of a room joined again lazy members are sent again", async () => {
    const config = { state: [["m.room.member", "$LAZY"] as const] };
    const room = await follow(t, dialect, { config, state: [ev.member(BOB)], parts: { timeline: messages(1, BOB) } });
    expect(membersTold(room.first)).toEqual([`${BOB}: join`]);
    await room.leave({ timeline: [own(room, "ban")] });
    await room.next();
    await room.deliver({ state: [...newRoom(ALICE), ev.member(BOB)], timeline: [own(room, "join", room.me), ev.message(BOB)] });
    expect(membersTold(await room.next())).toEqual([`${BOB}: join`, `${room.me}: join`]);
    expect(await room.ask(all(config))).toBeUndefined();
  });
});
