/** Sticky subscriptions, for clients that subscribe once and name no connection. */

import { describe, expect, it } from "vitest";
import { ev, newRoom, typing, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { type Ask, DIALECTS, type DialectName, SlidingClient, stateOf, timelineIds } from "../support/sliding.ts";
import { hangSliding, LONG, newsOf, NOTED } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

const BOB = "@bob:test";
const NAMELESS = { connId: null } as const;
const UNSUBSCRIBING = (...rooms: string[]): Ask => ({ ...NAMELESS, more: { unsubscribe_rooms: rooms } });
const subscribing = (rooms: readonly string[], limit = 5): Ask => ({ ...NAMELESS, subs: Object.fromEntries(rooms.map((room) => [room, { limit }])) });

/** A user in two rooms. */
async function twoRooms(dialect: DialectName) {
  const one = scene(t);
  const second = `${one.room}second`;
  const phone = new SlidingClient(one.client, dialect);
  await phone.sync();
  await t.deliver(one.client, v2({ join: { [second]: { state: newRoom(one.me) } } }));
  const tell = async (...rooms: string[]) => {
    await t.deliver(one.client, v2({ join: Object.fromEntries(rooms.map((room) => [room, { timeline: [ev.message(BOB)] }])) }));
  };
  return { ...one, second, phone, tell };
}

describe("sticky subscriptions", () => {
  it("M20 M36: an expanded timeline is limited, as matrix-js-sdk takes its older events for new ones otherwise", async () => {
    const { phone, room, tell } = await twoRooms("unstable");
    await tell(room);
    const first = await phone.sync(subscribing([room], 1));
    const grown = await phone.sync(subscribing([room], 5), { pos: first.pos });
    expect(grown.rooms[room]).toMatchObject({ unstable_expanded_timeline: true, limited: true });
    const named = { connId: "named", subs: { [room]: { limit: 1 } } };
    const other = await phone.sync(named);
    const strict = await phone.sync({ ...named, subs: { [room]: { limit: 5 } } }, { pos: other.pos });
    expect(strict.rooms[room]).toMatchObject({ unstable_expanded_timeline: true, limited: false });
  });

  it("M20: a subscription stays without being named again, and ends a wait", async () => {
    const { phone, room, second, tell } = await twoRooms("unstable");
    const first = await phone.sync(subscribing([room]));
    expect(first.rooms[room]?.["initial"]).toBe(true);
    const { answer } = await hangSliding(t, phone, NAMELESS, { pos: first.pos, timeout: LONG });
    await tell(second);
    await tell(room);
    const then = await answer;
    expect(Object.keys(then.rooms)).toEqual([room]);
    expect(newsOf(await phone.sync(NAMELESS, { pos: then.pos }))).toEqual({});
  });

  it("M20: unsubscribe_rooms ends it, and naming it again begins it with what was missed", async () => {
    const { phone, room, tell } = await twoRooms("unstable");
    const first = await phone.sync(subscribing([room]));
    const ended = await phone.sync(UNSUBSCRIBING(room), { pos: first.pos });
    await tell(room);
    const quiet = await phone.sync(NAMELESS, { pos: ended.pos });
    expect(newsOf(quiet)).toEqual({});
    const again = await phone.sync(subscribing([room]), { pos: quiet.pos });
    expect(timelineIds(again.rooms[room])).toHaveLength(1);
    expect(again.rooms[room]?.["initial"]).toBeUndefined();
  });

  it("M20: a room that is unsubscribed and subscribed in one request is subscribed", async () => {
    const { phone, room, tell } = await twoRooms("unstable");
    const first = await phone.sync(subscribing([room]));
    const both = await phone.sync({ ...subscribing([room]), more: { unsubscribe_rooms: [room] } }, { pos: first.pos });
    await tell(room);
    expect(Object.keys((await phone.sync(NAMELESS, { pos: both.pos })).rooms)).toEqual([room]);
  });

  it("M20: more subscriptions join those that are there, and a new config replaces the old one", async () => {
    const { phone, room, second, me, tell, deliver } = await twoRooms("unstable");
    await deliver({ timeline: [ev.topic(me, "tea"), ev.message(BOB), ev.message(BOB)] });
    const first = await phone.sync(subscribing([room], 1));
    const more = await phone.sync(subscribing([second]), { pos: first.pos });
    expect(Object.keys(more.rooms)).toEqual([second]);
    const grown = await phone.sync({ ...NAMELESS, subs: { [room]: { limit: 2, state: [["m.room.topic", ""]] } } }, { pos: more.pos });
    expect([timelineIds(grown.rooms[room]).length, stateOf(grown.rooms[room])]).toEqual([2, ["m.room.topic|"]]);
    await tell(room, second);
    expect(Object.keys((await phone.sync(NAMELESS, { pos: grown.pos })).rooms).sort()).toEqual([room, second].sort());
  });

  it("M20 M3: a retry of a request with or without the subscription behaves as if the other never happened", async () => {
    const { phone, room, second, tell } = await twoRooms("unstable");
    const first = await phone.sync(subscribing([room]));
    await phone.sync(subscribing([second]), { pos: first.pos });
    const retry = await phone.sync(NAMELESS, { pos: first.pos });
    await tell(room, second);
    expect(Object.keys((await phone.sync(NAMELESS, { pos: retry.pos })).rooms)).toEqual([room]);
  });

  it("M20 M5: they continue after a restart, and end with the connection", async () => {
    const { phone, room, tell, client } = await twoRooms("unstable");
    const first = await phone.sync(subscribing([room]));
    await t.restart();
    await phone.sync(NAMELESS, { pos: first.pos });
    await t.hs.waitForPoll(client.token);
    await tell(room);
    expect(Object.keys((await phone.sync(NAMELESS, { pos: first.pos })).rooms)).toEqual([room]);
    const fresh = await phone.sync(NAMELESS);
    expect(newsOf(fresh)).toEqual({});
    await tell(room);
    expect(newsOf(await phone.sync(NAMELESS, { pos: fresh.pos }))).toEqual({});
  });

  it("M20 M51: extensions cover sticky subscriptions as of others", async () => {
    const { phone, room, second, client } = await twoRooms("unstable");
    const ext = { typing: { enabled: true, lists: [] } };
    const first = await phone.sync({ ...subscribing([room]), ext });
    await t.deliver(client, v2({ join: { [room]: { ephemeral: [typing(BOB)] }, [second]: { ephemeral: [typing(BOB)] } } }));
    const then = await phone.sync({ ...NAMELESS, ext }, { pos: first.pos });
    expect(Object.keys(then.extensions["typing"].rooms)).toEqual([room]);
  });

  it("M20: beyond a hundred, those that were asked for longest ago end", async () => {
    const { phone, room, second, tell } = await twoRooms("unstable");
    const unknown = Array.from({ length: 99 }, (_, i) => `!unknown${i}:test`);
    const first = await phone.sync(subscribing([room]));
    const more = await phone.sync(subscribing([...unknown, second]), { pos: first.pos });
    await tell(room, second);
    expect(Object.keys((await phone.sync(NAMELESS, { pos: more.pos })).rooms)).toEqual([second]);
  });
});

describe.each(DIALECTS)("no sticky subscriptions (%s)", (dialect) => {
  it("M20: a request of a client that names its connection is in full", async () => {
    const { phone, room, tell } = await twoRooms(dialect);
    const first = await phone.sync({ subs: { [room]: { limit: 5 } } });
    expect(first.rooms[room]?.["initial"]).toBe(true);
    await tell(room);
    const without = await phone.sync({}, { pos: first.pos });
    expect(newsOf(without)).toEqual({});
    const again = await phone.sync({ subs: { [room]: { limit: 5 } } }, { pos: without.pos });
    expect(timelineIds(again.rooms[room])).toHaveLength(1);
  });
});

it("M20: in v4 nothing is sticky, whether a connection is named or not", async () => {
  const { phone, room, tell } = await twoRooms("v4");
  const first = await phone.sync(subscribing([room]));
  await tell(room);
  expect(newsOf(await phone.sync(NAMELESS, { pos: first.pos }))).toEqual({});
});
