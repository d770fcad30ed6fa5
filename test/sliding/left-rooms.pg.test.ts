/** T22: rooms that the user left before the account's first v2 answer. */

import { describe, expect, it } from "vitest";
import { ev, type Json, type MatrixEvent, newRoom, v2 } from "../support/fake-homeserver.ts";
import { DIALECTS, SlidingClient, timelineIds } from "../support/sliding.ts";
import { hangSliding, LONG, NOTED } from "../support/sliding-waits.ts";
import { type V3Client, v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

const ALICE = "@alice:test";
const ALL = { lists: { all: { ranges: [[0, 99]] } } } as const;
let count = 0;

/** A new user with no rooms, and the id of one that is not stored. */
function user() {
  count += 1;
  const [me, room] = [`@left${count}:test`, `!left${count}:test`];
  return { me, room, client: t.login(me, "PHONE", v2()) };
}

/** What the homeserver says of a room that is not in its /sync: its state, and its newest events, oldest first. */
function serve(room: string, state: readonly MatrixEvent[], timeline: readonly MatrixEvent[]): void {
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}`;
  t.hs.on("GET", `${path}/state`, { body: [...state, ...timeline.filter((event) => event.state_key !== undefined)] as unknown as Json });
  t.hs.on("GET", `${path}/messages`, { body: { chunk: timeline.toReversed(), start: "s1", end: "older" } });
}

/** How the user's time in the room ended. */
const ending = (me: string, membership: string, sender: string, before = "join") =>
  ev.member(me, membership, {}, { sender, unsigned: { prev_content: { membership: before } } });

const asked = (client: V3Client) => t.hs.seen({ path: /\/rooms\/[^/]*\/state$/, token: client.token }).length;

describe.each(DIALECTS)("a room that was left before the first v2 answer (%s)", (dialect) => {
  it("T22: a subscription to it is answered at once, and the room as it was left comes as a change", async () => {
    const { me, room, client } = user();
    const [message, left] = [ev.message(ALICE), ending(me, "leave", me)];
    serve(room, [...newRoom(ALICE), ev.name(ALICE, "Old")], [message, left]);
    const phone = new SlidingClient(client, dialect);
    const ask = { ...ALL, subs: { [room]: { limit: 10, state: [["m.room.name", ""]] as const } } };
    const first = await phone.sync(ask);
    expect(first.rooms).toEqual({});
    const then = await phone.sync(ask, { pos: first.pos, timeout: LONG });
    expect(then.rooms[room]).toMatchObject({ initial: true, name: "Old", limited: true, prev_batch: "older" });
    expect(timelineIds(then.rooms[room])).toEqual([message.event_id, left.event_id]);
    const own = ((then.rooms[room]?.["required_state"] ?? []) as MatrixEvent[]).find((event) => event.state_key === me);
    expect(own?.content["membership"]).toBe("leave");
    expect(then.lists["all"]?.count).toBe(0);
    const fresh = await phone.sync({ ...ask, connId: "another" });
    expect(timelineIds(fresh.rooms[room])).toEqual([message.event_id, left.event_id]);
    expect(asked(client)).toBe(1);
  });

  it("T22: a request that waits already gets it, too", async () => {
    const { me, room, client } = user();
    serve(room, newRoom(ALICE), [ending(me, "ban", ALICE)]);
    const phone = new SlidingClient(client, dialect);
    const { pos } = await phone.sync(ALL);
    const { answer } = await hangSliding(t, phone, { ...ALL, subs: { [room]: { limit: 1 } } }, { pos, timeout: LONG });
    expect(Object.keys((await answer).rooms)).toEqual([room]);
  });
});

describe("rooms that are not stored", () => {
  const subscribed = (rooms: readonly string[]) => ({ subs: Object.fromEntries(rooms.map((room) => [room, { limit: 1 }])) });

  it("T22 M19: of rooms that the user was never in, or may not read, nothing is sent", async () => {
    const { me, room, client } = user();
    const rooms = ["public", "invited", "joined", "forbidden", "broken", "left"].map((name) => `${room}${name}`);
    const [open = "", invited = "", joined = "", forbidden = "", broken = "", left = ""] = rooms;
    serve(open, newRoom(ALICE), [ev.message(ALICE)]);
    serve(invited, newRoom(ALICE), [ending(me, "leave", me, "invite")]);
    serve(joined, newRoom(ALICE), [ev.member(me)]);
    t.hs.on("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(forbidden)}/state`, {
      status: 403,
      body: { errcode: "M_FORBIDDEN", error: "You are not in the room" },
    });
    t.hs.on("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(broken)}/state`, { status: 500, body: {} });
    serve(left, newRoom(ALICE), [ending(me, "leave", me)]);
    const phone = new SlidingClient(client, "v4");
    const first = await phone.sync(subscribed(rooms));
    const then = await phone.sync(subscribed(rooms), { pos: first.pos, timeout: LONG });
    expect(Object.keys(then.rooms)).toEqual([left]);
    await expect.poll(() => asked(client)).toBe(rooms.length);
    await expect.poll(async () => Object.keys((await phone.sync({ ...subscribed(rooms), connId: "another" })).rooms)).toEqual([left]);
  });

  it("T22: at most 20 are asked for a request and 100 a day, each once", async () => {
    const { room, client } = user();
    const rooms = Array.from({ length: 130 }, (_, n) => `${room}${n}`);
    const phone = new SlidingClient(client, "unstable");
    await phone.sync(subscribed(rooms));
    await expect.poll(() => asked(client)).toBe(20);
    for (const wanted of [40, 60, 80, 100]) {
      await phone.sync(subscribed(rooms));
      await expect.poll(() => asked(client)).toBe(wanted);
    }
    await t.restart();
    await phone.sync(subscribed(rooms));
    const claimed = await t.sql`select from background_asks b join accounts a using (account) where a.user_id = ${client.userId}`;
    expect([claimed.length, asked(client)]).toEqual([100, 100]);
  });
});
