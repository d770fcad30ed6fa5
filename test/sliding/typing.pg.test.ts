/** The typing extension. */

import { describe, expect, it } from "vitest";
import { ev, newRoom, typing, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { type Answer, type Ask, DIALECTS, SlidingClient } from "../support/sliding.ts";
import { ALL, hangSliding, LONG, newsOf, NOTED, SHORT } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

const BOB = "@bob:test";
const CAROL = "@carol:test";
const EXT = { typing: { enabled: true } };
const EVERYWHERE: Ask = { ...ALL, ext: EXT };

/** Users who type, by room. */
const typingOf = (answer: Answer): Record<string, string[]> =>
  Object.fromEntries(
    Object.entries((answer.extensions["typing"]?.rooms ?? {}) as Record<string, { content: { user_ids: string[] } }>).map(([room, event]) => [
      room,
      event.content.user_ids,
    ]),
  );

describe.each(DIALECTS)("typing (%s)", (dialect) => {
  /** A user in two rooms, the second one newer. */
  async function twoRooms() {
    const one = scene(t, { others: [BOB, CAROL] });
    const phone = new SlidingClient(one.client, dialect);
    await phone.sync();
    const second = `${one.room}second`;
    await t.deliver(one.client, v2({ join: { [second]: { state: newRoom(one.me) } } }));
    const typeIn = (room: string, ...users: string[]) => t.deliver(one.client, v2({ join: { [room]: { ephemeral: [typing(...users)] } } }));
    const window = (last: number): Ask => ({ lists: { all: { ranges: [[0, last]], limit: 1 } }, ext: EXT });
    return { ...one, phone, second, typeIn, window };
  }

  it("M51: while no user types the section is empty; if the extension is not enabled it is absent", async () => {
    const { phone } = await twoRooms();
    expect((await phone.sync(EVERYWHERE)).extensions).toEqual({ typing: { rooms: {} } });
    expect((await phone.sync(ALL)).extensions).toEqual({});
  });

  it("M51: users who type now are sent first, as the full event", async () => {
    const { phone, room, type } = await twoRooms();
    await type(BOB);
    const first = await phone.sync(EVERYWHERE);
    expect(first.extensions["typing"]).toEqual({ rooms: { [room]: { type: "m.typing", content: { user_ids: [BOB] } } } });
    const reply = await phone.request({ ...EVERYWHERE, connId: "raw" });
    const bare = { user_ids: [BOB] };
    expect(reply.body["extensions"].typing.rooms[room]).toEqual(dialect === "v4" ? bare : { type: "m.typing", content: bare });
  });

  it("M51: full sets as they change, the empty one too, and none twice", async () => {
    const { phone, room, second, type, typeIn } = await twoRooms();
    const first = await phone.sync(EVERYWHERE);
    await type(BOB);
    const one = await phone.sync(EVERYWHERE, { pos: first.pos });
    expect([typingOf(one), one.rooms]).toEqual([{ [room]: [BOB] }, {}]);
    await type(BOB, CAROL);
    await typeIn(second, CAROL);
    const both = await phone.sync(EVERYWHERE, { pos: one.pos });
    expect(typingOf(both)).toEqual({ [room]: [BOB, CAROL], [second]: [CAROL] });
    await type();
    const over = await phone.sync(EVERYWHERE, { pos: both.pos });
    expect(typingOf(over)).toEqual({ [room]: [] });
    expect(newsOf(await phone.sync(EVERYWHERE, { pos: over.pos }))).toEqual({});
    expect(typingOf(await phone.sync(EVERYWHERE, { pos: both.pos })), "a retry has it again").toEqual({ [room]: [] });
  });

  it("M51: users who have stopped are not sent to a new connection", async () => {
    const { phone, type } = await twoRooms();
    await type(BOB);
    await type();
    expect(typingOf(await phone.sync(EVERYWHERE))).toEqual({});
  });

  it("M51 M7: it ends a wait, in the window alone", async () => {
    const { phone, room, second, type, typeIn, window } = await twoRooms();
    const { pos } = await phone.sync(window(0));
    const { answer } = await hangSliding(t, phone, window(0), { pos, timeout: LONG });
    await type(BOB);
    await typeIn(second, CAROL);
    const then = await answer;
    expect([typingOf(then), typingOf(then)[room]]).toEqual([{ [second]: [CAROL] }, undefined]);
    expect(newsOf(await phone.sync(window(0), { pos: then.pos, timeout: SHORT }))).toEqual({});
  });

  it("M51 M23: a room that comes into the window brings who types there now, also for the first time", async () => {
    const { phone, room, type, deliver, window } = await twoRooms();
    await type(BOB);
    const first = await phone.sync(window(0));
    expect(typingOf(first)).toEqual({});
    await deliver({ timeline: [ev.message(BOB)] });
    const then = await phone.sync(window(0), { pos: first.pos });
    expect(typingOf(then)).toEqual({ [room]: [BOB] });
  });

  it("M51 M23: a room that was in it is sent with the current set if that has changed, even to an empty one", async () => {
    const { phone, room, second, client, type, typeIn, deliver, window } = await twoRooms();
    await typeIn(second, CAROL);
    const first = await phone.sync(window(0));
    expect(typingOf(first)).toEqual({ [second]: [CAROL] });
    await deliver({ timeline: [ev.message(BOB)] });
    const moved = await phone.sync(window(0), { pos: first.pos });
    await typeIn(second, BOB);
    await typeIn(second);
    const quiet = await phone.sync(window(0), { pos: moved.pos });
    expect(newsOf(quiet)).toEqual({});
    await type(BOB);
    await t.deliver(client, v2({ join: { [second]: { timeline: [ev.message(BOB)] } } }));
    const back = await phone.sync(window(0), { pos: quiet.pos });
    expect(typingOf(back)).toEqual({ [second]: [] });
    // It did not change while the other room was shown.
    await deliver({ timeline: [ev.message(BOB)] });
    expect(typingOf(await phone.sync(window(0), { pos: back.pos }))).toEqual({ [room]: [BOB] });
  });

  it("M51 M23: a room that re-enters scope is sent with who types there, also if that has not changed; with nobody only if it has", async () => {
    const { phone, room, second, type, typeIn, window } = await twoRooms();
    await Promise.all([type(BOB), typeIn(second, CAROL)]);
    const nowhere: Ask = { ...window(1), ext: { typing: { enabled: true, lists: [] } } };
    const disabled: Ask = { ...window(1), ext: {} };
    let { pos } = await phone.sync(window(1));
    for (const out of [nowhere, disabled, {}]) {
      // In order: each goes on where the last one ended.
      /* oxlint-disable no-await-in-loop */
      const away = await phone.sync(out, { pos });
      const back = await phone.sync(window(1), { pos: away.pos });
      expect(typingOf(back)).toEqual({ [room]: [BOB], [second]: [CAROL] });
      expect(typingOf(await phone.sync(window(1), { pos: away.pos })), "a retry").toEqual(typingOf(back));
      expect(newsOf(await phone.sync(window(1), { pos: back.pos }))).toEqual({});
      ({ pos } = back);
      /* oxlint-enable no-await-in-loop */
    }
    const away = await phone.sync(nowhere, { pos });
    await type();
    const still = await phone.sync(nowhere, { pos: away.pos });
    const back = await phone.sync(window(1), { pos: still.pos });
    expect(typingOf(back)).toEqual({ [room]: [], [second]: [CAROL] });
  });

  it("M51: subscriptions get it without other news", async () => {
    const { phone, room, second, type, typeIn } = await twoRooms();
    const ask: Ask = { subs: { [room]: { limit: 0 } }, ext: { typing: { enabled: true } } };
    const first = await phone.sync(ask);
    await typeIn(second, CAROL);
    await type(BOB);
    const then = await phone.sync(ask, { pos: first.pos });
    expect([then.rooms, typingOf(then)]).toEqual([{}, { [room]: [BOB] }]);
  });

  it("M51 M32: a room that the user is not in has none", async () => {
    const { phone, room, me, client, type } = await twoRooms();
    await type(BOB);
    const first = await phone.sync(EVERYWHERE);
    await t.deliver(client, v2({ leave: { [room]: { timeline: [ev.member(me, "leave", {}, { sender: BOB })] } } }));
    const kicked = await phone.sync(EVERYWHERE, { pos: first.pos });
    expect([Object.keys(kicked.rooms), typingOf(kicked)]).toEqual([[room], {}]);
    expect(typingOf(await phone.sync({ ...EVERYWHERE, connId: "late" }))).toEqual({});
  });

  it("M51 M5: a restart is not noticeable", async () => {
    const { phone, room, type } = await twoRooms();
    const first = await phone.sync(EVERYWHERE);
    await type(BOB);
    await t.restart();
    const then = await phone.sync(EVERYWHERE, { pos: first.pos });
    expect(typingOf(then)).toEqual({ [room]: [BOB] });
    await t.restart();
    expect(newsOf(await phone.sync(EVERYWHERE, { pos: then.pos }))).toEqual({});
  });
});
