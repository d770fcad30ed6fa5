/** What a connection has been sent of a room decides what it is sent next: everything, what changed, or what it missed. */

import { describe, expect, it } from "vitest";
import { ev, type MatrixEvent, newRoom, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { type Ask, DIALECTS, type RoomAnswer, SlidingClient, stateOf, timelineIds } from "../support/sliding.ts";
import { newsOf } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const BOB = "@bob:test";
const idsOf = (events: readonly MatrixEvent[]) => events.map((event) => event.event_id);
/** Names and topics in a room's required_state. */
const contents = (room: RoomAnswer | undefined): unknown[] =>
  ((room?.["required_state"] ?? []) as MatrixEvent[]).map((event) => Object.values(event.content)[0]);

describe.each(DIALECTS)("sent rooms (%s)", (dialect) => {
  /** A user in a room and another, newer one, and a list that shows only the newest. */
  async function twoRooms() {
    const one = scene(t, { state: [ev.name("@x:test", "first"), ev.topic("@x:test", "tea")] });
    const phone = new SlidingClient(one.client, dialect);
    await phone.sync();
    const other = `${one.room}other`;
    await t.deliver(one.client, v2({ join: { [other]: { state: newRoom(one.me) } } }));
    const window = (last = 0): Ask => ({
      lists: {
        all: {
          ranges: [[0, last]],
          limit: 3,
          state: [
            ["m.room.name", ""],
            ["m.room.topic", ""],
          ],
        },
      },
    });
    const tell = (room: string, ...timeline: MatrixEvent[]) => t.deliver(one.client, v2({ join: { [room]: { timeline } } }));
    return { ...one, phone, other, window, tell };
  }

  it("M22 M38: state that was sent is sent again only as it changes", async () => {
    const { phone, room, window, tell } = await twoRooms();
    await tell(room, ev.message(BOB));
    const first = await phone.sync(window());
    expect([first.rooms[room]?.["initial"], contents(first.rooms[room])]).toEqual([true, ["first", "tea"]]);
    await tell(room, ev.name(BOB, "second"));
    const then = await phone.sync(window(), { pos: first.pos });
    expect([then.rooms[room]?.["initial"], contents(then.rooms[room])]).toEqual([undefined, ["second"]]);
    await tell(room, ev.message(BOB));
    expect(stateOf((await phone.sync(window(), { pos: then.pos })).rooms[room])).toEqual([]);
  });

  it("M23 M34: a room that was out of the window brings the events it missed, and is not limited where those are all", async () => {
    const { phone, room, other, window, tell } = await twoRooms();
    const old = ev.message(BOB);
    await tell(room, old);
    const first = await phone.sync(window());
    const missed = [ev.message(BOB), ev.message(BOB)];
    await tell(room, ...missed);
    await tell(other, ev.message(BOB));
    const away = await phone.sync(window(), { pos: first.pos });
    expect(Object.keys(away.rooms)).toEqual([other]);
    const last = ev.message(BOB);
    await tell(room, last);
    const back = await phone.sync(window(), { pos: away.pos });
    expect(timelineIds(back.rooms[room])).toEqual(idsOf([...missed, last]));
    expect(back.rooms[room]).toMatchObject({ limited: false, num_live: 1 });
    expect(back.rooms[room]?.["initial"]).toBeUndefined();
    expect(newsOf(await phone.sync(window(), { pos: back.pos }))).toEqual({});
  });

  it("M23 M34: it is limited where it missed more than the limit", async () => {
    const { phone, room, other, window, tell } = await twoRooms();
    await tell(room, ev.message(BOB));
    const first = await phone.sync(window());
    const missed = Array.from({ length: 4 }, () => ev.message(BOB));
    await tell(room, ...missed);
    await tell(other, ev.message(BOB));
    const away = await phone.sync(window(), { pos: first.pos });
    const last = ev.message(BOB);
    await tell(room, last);
    const back = await phone.sync(window(), { pos: away.pos });
    expect(timelineIds(back.rooms[room])).toEqual(idsOf([...missed.slice(2), last]));
    expect(back.rooms[room]).toMatchObject({ limited: true, num_live: 1 });
    expect(back.rooms[room]?.["initial"]).toBeUndefined();
  });

  it("M23 M38: state that changed while it was out of the window comes once, as it is now", async () => {
    const { phone, room, other, window, tell } = await twoRooms();
    await tell(room, ev.message(BOB));
    const first = await phone.sync(window());
    await tell(room, ev.topic(BOB, "coffee"));
    await tell(other, ev.message(BOB));
    const away = await phone.sync(window(), { pos: first.pos });
    await tell(room, ev.topic(BOB, "water"), ...Array.from({ length: 5 }, () => ev.message(BOB)));
    await tell(other, ev.message(BOB));
    const still = await phone.sync(window(), { pos: away.pos });
    expect(Object.keys(still.rooms)).toEqual([other]);
    await tell(room, ev.message(BOB));
    const back = await phone.sync(window(), { pos: still.pos });
    expect(contents(back.rooms[room])).toEqual(["water"]);
    await tell(room, ev.message(BOB));
    expect(contents((await phone.sync(window(), { pos: back.pos })).rooms[room])).toEqual([]);
  });

  it("M22 M23: a room that comes into the window for the first time is sent in full", async () => {
    const { phone, room, window, tell } = await twoRooms();
    const events = Array.from({ length: 5 }, () => ev.message(BOB));
    const first = await phone.sync(window());
    expect(Object.keys(first.rooms)).not.toContain(room);
    await tell(room, ...events);
    const then = await phone.sync(window(), { pos: first.pos });
    expect(then.rooms[room]).toMatchObject({ initial: true, limited: true });
    expect([timelineIds(then.rooms[room]), contents(then.rooms[room])]).toEqual([idsOf(events.slice(2)), ["first", "tea"]]);
  });

  it("M22 M23: growing the window sends the rooms that come with it, and no others again", async () => {
    const { phone, room, other, window } = await twoRooms();
    const first = await phone.sync(window(0));
    const grown = await phone.sync(window(5), { pos: first.pos });
    expect([Object.keys(first.rooms), Object.keys(grown.rooms), grown.lists["all"]?.count]).toEqual([[other], [room], 2]);
    const shrunk = await phone.sync(window(0), { pos: grown.pos });
    const again = await phone.sync(window(5), { pos: shrunk.pos });
    expect([newsOf(shrunk), newsOf(again)]).toEqual([{}, {}]);
  });

  it("M23 M3 M5: what a room missed is sent to each fork of a position, over a restart as well", async () => {
    const { phone, room, other, client, window, tell } = await twoRooms();
    await tell(room, ev.message(BOB));
    const first = await phone.sync(window());
    const missed = ev.message(BOB);
    await tell(room, missed);
    await tell(other, ev.message(BOB));
    const away = await phone.sync(window(), { pos: first.pos });
    await t.restart();
    await t.hs.waitForPoll(client.token);
    const last = ev.message(BOB);
    await tell(room, last);
    for (let i = 0; i < 2; i += 1) {
      expect(timelineIds((await phone.sync(window(), { pos: away.pos })).rooms[room])).toEqual(idsOf([missed, last]));
    }
    // The earlier position was never told that the room had left the window.
    expect(timelineIds((await phone.sync(window(), { pos: first.pos })).rooms[room])).toEqual(idsOf([missed, last]));
  });

  it("M23 M40: of the same room, connections are sent by what each has been sent", async () => {
    const { phone, room, window, tell } = await twoRooms();
    const narrow: Ask = { connId: "narrow", subs: { [room]: { limit: 1, state: [["m.room.topic", ""]] } } };
    const wide = await phone.sync(window(5));
    const small = await phone.sync(narrow);
    expect([contents(wide.rooms[room]), contents(small.rooms[room])]).toEqual([["first", "tea"], ["tea"]]);
    await tell(room, ev.name(BOB, "second"), ev.topic(BOB, "coffee"));
    expect(contents((await phone.sync(narrow, { pos: small.pos })).rooms[room])).toEqual(["coffee"]);
    expect(contents((await phone.sync(window(5), { pos: wide.pos })).rooms[room])).toEqual(["second", "coffee"]);
  });
});
