/** Every member of a room: v2 sends only some of them, so the list must be fetched. */

import { afterEach, describe, expect, it } from "vitest";
import { ev, type MatrixEvent } from "../support/fake-homeserver.ts";
import { ALICE, all, BOB, CAROL, type FollowedRoom, follow, membersTold, messages, stateEvent } from "../support/followed-room.ts";
import { serveMembers } from "../support/scene.ts";
import { DIALECTS, stateOf, timelineIds } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const FETCH_MS = 1500;
const EVERY = {
  limit: 5,
  state: [
    ["m.room.member", "*"],
    ["m.room.topic", ""],
  ] as const,
};

const t = v3Server({ sliding: { fetchMs: FETCH_MS } });
afterEach(() => t.hs.heal());

const path = (room: FollowedRoom) => `/_matrix/client/v3/rooms/${encodeURIComponent(room.id)}/members`;
const joined = (...users: string[]) => users.map((user) => `${user}: join`).toSorted();

/** The answer of /members: the members that v2 sent, and two more. */
const members = (room: FollowedRoom): MatrixEvent[] => [ALICE, room.me, BOB, CAROL].map((user) => ev.member(user));

/** Answers `/members` only when it is released. */
function slowMembers(room: FollowedRoom): () => void {
  const { promise, resolve } = Promise.withResolvers<void>();
  const chunk = members(room);
  t.hs.on("GET", path(room), async () => {
    await promise;
    return { body: { chunk } };
  });
  return resolve;
}

describe.each(DIALECTS)("every member", (dialect) => {
  const plain = () => follow(t, dialect, { state: [ev.topic(ALICE, "x")], parts: { timeline: messages(1) } });

  it("M43: members that v2 did not send are in the first answer", async () => {
    const room = await plain();
    serveMembers(t, room.id, members(room));
    const sent = await room.anew(EVERY);
    expect(sent).toMatchObject({ initial: true });
    expect(membersTold(sent)).toEqual(joined(ALICE, BOB, CAROL, room.me));
    expect(t.hs.seen({ path: path(room) })).toHaveLength(1);
    expect(membersTold((await room.client.sync({ ...all(EVERY), connId: "third" })).rooms[room.id])).toEqual(joined(ALICE, BOB, CAROL, room.me));
    expect(t.hs.seen({ path: path(room) })).toHaveLength(1);
  });

  it("M43 M38: those who left and are banned are sent as well; then what changes", async () => {
    const room = await plain();
    serveMembers(t, room.id, [ev.member(ALICE), ev.member(room.me), ev.member(BOB, "leave"), ev.member(CAROL, "ban", {}, { sender: ALICE })]);
    expect(membersTold(await room.next(EVERY))).toEqual([`${ALICE}: join`, `${BOB}: leave`, `${CAROL}: ban`, `${room.me}: join`]);
    const back = ev.member(BOB);
    await room.deliver({ timeline: [back] });
    const sent = await room.next(EVERY);
    expect(membersTold(sent)).toEqual(joined(BOB));
    expect(stateEvent(sent, "m.room.member", BOB)).toMatchObject({ event_id: back.event_id });
    await room.deliver({ timeline: messages(1) });
    expect(await room.next(EVERY)).not.toHaveProperty("required_state");
  });

  it("M43: if they come late, the answer is sent without them, and they end the next wait once", async () => {
    const room = await plain();
    const release = slowMembers(room);
    const started = performance.now();
    const first = await room.next({ ...EVERY, limit: 9 });
    expect(performance.now() - started + 2).toBeGreaterThanOrEqual(FETCH_MS);
    expect(stateOf(first)).toEqual(["m.room.topic|"]);
    const waiting = room.next({ ...EVERY, limit: 9 }, { timeout: 30_000 });
    release();
    const then = await waiting;
    expect(membersTold(then)).toEqual(joined(ALICE, BOB, CAROL, room.me));
    expect(then).not.toHaveProperty("timeline");
    expect(then).not.toHaveProperty("initial");
    expect(await room.next({ ...EVERY, limit: 9 })).toBeUndefined();
  });

  it("M43: an initial room that was sent without them is sent them later, and news in between are not held back", async () => {
    const room = await plain();
    const release = slowMembers(room);
    const first = await room.client.sync({ ...all(EVERY), connId: "late" });
    expect(first.rooms[room.id]).toMatchObject({ initial: true });
    expect(membersTold(first.rooms[room.id])).toEqual([]);
    const news = ev.message(ALICE);
    await room.deliver({ timeline: [news] });
    const second = await room.client.sync({ ...all(EVERY), connId: "late" }, { pos: first.pos });
    expect(timelineIds(second.rooms[room.id])).toEqual([news.event_id]);
    const waiting = room.client.sync({ ...all(EVERY), connId: "late" }, { pos: second.pos, timeout: 30_000 });
    release();
    const third = await waiting;
    expect(membersTold(third.rooms[room.id])).toEqual(joined(ALICE, BOB, CAROL, room.me));
    expect(third.rooms[room.id]).not.toHaveProperty("initial");
  });

  it("M43: if they cannot be fetched, the room is sent without them, and no request fails", async () => {
    const room = await plain();
    t.hs.on("GET", path(room), { status: 403, body: { errcode: "M_FORBIDDEN", error: "no" } });
    const first = await room.next(EVERY);
    expect(stateOf(first)).toEqual(["m.room.topic|"]);
    await room.deliver({ timeline: messages(1) });
    expect(timelineIds(await room.next(EVERY))).toHaveLength(1);
    serveMembers(t, room.id, members(room));
    expect(membersTold(await room.next(EVERY))).toEqual(joined(ALICE, BOB, CAROL, room.me));
  });

  it("M43 M35: after a gap the list is fetched again, and members that changed in it are sent", async () => {
    const room = await plain();
    serveMembers(t, room.id, members(room));
    await room.next(EVERY);
    const gone = ev.member(CAROL, "leave");
    serveMembers(t, room.id, [...members(room).slice(0, 3), gone]);
    await room.deliver({ timeline: messages(1), limited: true, prev_batch: "gap" });
    const sent = await room.next(EVERY);
    expect(timelineIds(sent)).toHaveLength(1);
    expect(membersTold(sent)).toContain(`${CAROL}: leave`);
    expect(await room.next(EVERY)).toBeUndefined();
  });

  it("M43 M35: a gap whose list comes late or never loses no change", async () => {
    const room = await plain();
    serveMembers(t, room.id, members(room));
    await room.next(EVERY);
    t.hs.on("GET", path(room), { status: 502, body: "bad gateway" });
    await room.deliver({ timeline: [ev.member(BOB, "leave")], limited: true, prev_batch: "gap" });
    expect(timelineIds(await room.next(EVERY))).toHaveLength(1);
    serveMembers(t, room.id, [ev.member(ALICE), ev.member(room.me), ev.member(BOB, "leave"), ev.member(CAROL, "leave")]);
    const sent = await room.next(EVERY, { timeout: 5000 });
    expect(membersTold(sent)).toEqual(expect.arrayContaining([`${BOB}: leave`, `${CAROL}: leave`]));
  });

  it("M43 M33: they are fetched and sent again for a room that was joined again", async () => {
    const room = await plain();
    serveMembers(t, room.id, members(room));
    await room.next(EVERY);
    await room.leave({ timeline: [ev.member(room.me, "leave")] });
    expect(membersTold(await room.next(EVERY))).toEqual([`${room.me}: leave`]);
    const now = [ev.member(ALICE), ev.member(room.me), ev.member("@new:test")];
    serveMembers(t, room.id, now);
    await room.deliver({ state: now.slice(0, 1), timeline: now.slice(1, 2), limited: true, prev_batch: "p" });
    const sent = await room.next(EVERY);
    expect(sent).toMatchObject({ initial: true });
    expect(membersTold(sent)).toEqual(joined(ALICE, "@new:test", room.me));
  });

  it("M43 M40: asked for in mid-connection, and asked for less and again", async () => {
    const room = await plain();
    serveMembers(t, room.id, members(room));
    const lazy = { limit: 5, state: [["m.room.member", "$LAZY"]] as const };
    await room.next(lazy);
    expect(membersTold(await room.next(EVERY, { timeout: 30_000 }))).toEqual(joined(ALICE, BOB, CAROL, room.me));
    const left = ev.member(CAROL, "leave");
    await room.deliver({ timeline: [left] });
    expect(membersTold(await room.next({ limit: 5, state: [] }))).toEqual([]);
    expect(membersTold(await room.next(EVERY))).toContain(`${CAROL}: leave`);
    expect(await room.next(EVERY)).toBeUndefined();
  });

  it("M43 M32: nothing is fetched for a room that was left; known members are sent", async () => {
    const room = await plain();
    t.hs.on("GET", path(room), { status: 403, body: { errcode: "M_FORBIDDEN", error: "no" } });
    await room.leave({ timeline: [ev.member(room.me, "ban", {}, { sender: ALICE })] });
    const sent = await room.next(EVERY);
    expect(membersTold(sent)).toContain(`${room.me}: ban`);
    expect(membersTold(await room.anew(EVERY))).toContain(`${room.me}: ban`);
    expect(t.hs.seen({ path: path(room) })).toHaveLength(0);
  });
});

describe("all state, unstable dialect", () => {
  it("M43 M38: it waits for the members, and is sent without them if they are late", async () => {
    const room = await follow(t, "unstable", { state: [ev.topic(ALICE, "x")] });
    const release = slowMembers(room);
    const first = await room.next({ state: [["*", "*"]] });
    expect(membersTold(first)).toEqual([]);
    expect(stateOf(first)).toContain("m.room.topic|");
    const waiting = room.next({ state: [["*", "*"]] }, { timeout: 30_000 });
    release();
    expect(membersTold(await waiting)).toEqual(joined(ALICE, BOB, CAROL, room.me));
  });
});
