/** Connections that were idle: how they are stored, and that they continue from every position that a client may have. */

import { describe, expect, it } from "vitest";
import { ev, newRoom, receipt, v2 } from "../support/fake-homeserver.ts";
import { ALICE, all, BOB, CAROL, follow, messages } from "../support/followed-room.ts";
import { leaveIdle, retain, storedStates } from "../support/idle.ts";
import { DAY, HOUR } from "../support/retention-fixture.ts";
import { serveMembers, scene } from "../support/scene.ts";
import { DIALECTS, SlidingClient, stateOf, timelineIds } from "../support/sliding.ts";
import { ALL, newsOf, UNKNOWN_POS } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

/** Days without this client, while retention runs; `restart`: nothing is cached any more. */
async function days(userId: string, restart: boolean): Promise<void> {
  await leaveIdle(t, userId, 2 * HOUR);
  await retain(t);
  await retain(t, HOUR);
  await leaveIdle(t, userId, 20 * DAY);
  await retain(t);
  if (restart) await t.restart();
}

const WINDOW = (last: number) => ({ lists: { all: { ranges: [[0, last]] as const, limit: 5, state: [["m.room.topic", ""]] as const } } });

describe.each(DIALECTS)("an idle connection (%s)", (dialect) => {
  /** A user in the scene's room and another one, newest first. */
  async function twoRooms() {
    const one = scene(t, { state: [ev.topic(BOB, "tea")], timeline: [ev.message(BOB)] });
    const phone = new SlidingClient(one.client, dialect);
    await phone.sync({ connId: "other" });
    const second = `${one.room}second`;
    await t.deliver(one.client, v2({ join: { [second]: { state: [...newRoom(one.me), ev.topic(BOB, "tea")], timeline: messages(1, BOB) } } }));
    return { one, phone, second, me: one.me };
  }

  it("M95: an hour without use folds its states to one; it costs no answer, and use stores them as before", async () => {
    const { one, phone, me } = await twoRooms();
    const first = await phone.sync(WINDOW(0));
    const second = await phone.sync(WINDOW(1), { pos: first.pos });
    expect(newsOf(await phone.sync(WINDOW(1), { pos: second.pos }))).toEqual({});
    await leaveIdle(t, me, HOUR - 60_000);
    expect((await retain(t)).folded).toBe(0);
    await leaveIdle(t, me, HOUR + 60_000);
    expect((await retain(t)).folded).toBeGreaterThan(0);
    expect((await retain(t)).folded, "once").toBe(0);
    // Of either connection the folded state, and the one that the client may have.
    expect(await storedStates(t, me)).toEqual({ all: 4, json: 0, folded: 2 });
    await t.restart();
    expect(newsOf(await phone.sync(WINDOW(1), { pos: second.pos }))).toEqual({});
    const fewer = await phone.sync({ subs: {} }, { pos: second.pos });
    await t.deliver(one.client, v2({ join: { [one.room]: { timeline: messages(1, BOB) } } }));
    await phone.sync({ subs: {} }, { pos: fewer.pos });
    expect((await storedStates(t, me)).json).toBe(1);
    await leaveIdle(t, me, HOUR + 60_000);
    expect((await retain(t)).folded).toBe(1);
  });

  it("M95: a connection of which nothing can be read is left alone, and holds up no other", async () => {
    const { me } = await twoRooms();
    await t.sql`delete from connection_states where session in (select session from sessions join accounts using (account) where user_id = ${me})`;
    await leaveIdle(t, me, 2 * HOUR);
    await retain(t);
    expect((await retain(t)).folded).toBe(0);
  });

  it.each([false, true])("M95 M3: the position before the last one and the last one are right, restarted: %s", async (restart) => {
    const { one, phone, second, me } = await twoRooms();
    const first = await phone.sync(WINDOW(0));
    expect(Object.keys(first.rooms)).toEqual([second]);
    const next = await phone.sync(WINDOW(1), { pos: first.pos });
    expect(Object.keys(next.rooms)).toEqual([one.room]);
    await days(me, restart);
    const message = ev.message(BOB);
    await t.deliver(one.client, v2({ join: { [second]: { timeline: [message] } } }));
    const again = await phone.sync(WINDOW(1), { pos: first.pos });
    expect(again.rooms[one.room], "it may not have been received").toMatchObject({ initial: true });
    expect(timelineIds(again.rooms[second])).toEqual([message.event_id]);
    expect(again.rooms[second]).not.toHaveProperty("initial");
    const last = await phone.sync(WINDOW(1), { pos: next.pos });
    expect(timelineIds(last.rooms[second])).toEqual([message.event_id]);
    for (const { pos } of [again, last]) expect(newsOf(await phone.sync(WINDOW(1), { pos }))).toEqual({});
  });

  it.each([false, true])(
    "M97: a position from before the acknowledged one continues, told in full what it may have, restarted: %s",
    async (restart) => {
      const { one, phone, second, me } = await twoRooms();
      const first = await phone.sync(WINDOW(0));
      // The first state stays as the one that others are changes of; this one is deleted.
      const old = await phone.sync(WINDOW(1), { pos: first.pos });
      let { pos } = old;
      for (const enabled of [true, false]) {
        await t.deliver(one.client, v2({ join: { [second]: { account_data: [{ type: "m.x", content: { enabled } }] } } }));
        ({ pos } = await phone.sync({ ...WINDOW(1), ext: { account_data: { enabled } } }, { pos }));
      }
      await phone.sync(WINDOW(0), { pos });
      if (restart) await t.restart();
      const back = await phone.sync(WINDOW(1), { pos: old.pos });
      for (const room of [one.room, second])
        expect(back.rooms[room]).toMatchObject({ initial: true, required_state: [{ content: { topic: "tea" } }] });
      expect(newsOf(await phone.sync(WINDOW(1), { pos: back.pos }))).toEqual({});
      await days(me, restart);
      expect(newsOf(await phone.sync(WINDOW(1), { pos: back.pos }))).toEqual({});
      expect((await phone.request(WINDOW(1), { pos: old.pos })).status).toBe(200);
    },
  );

  it("M97: of a position from before the acknowledged one a room that was left since is sent as left", async () => {
    const { one, phone, second, me } = await twoRooms();
    const first = await phone.sync(WINDOW(0));
    const old = await phone.sync(WINDOW(1), { pos: first.pos });
    const extended = await phone.sync({ ...WINDOW(1), ext: { account_data: { enabled: true } } }, { pos: old.pos });
    await phone.sync({ ...WINDOW(1), ext: { typing: { enabled: true } } }, { pos: extended.pos });
    await t.deliver(one.client, v2({ leave: { [second]: { timeline: [ev.member(me, "leave")] } } }));
    const left = await phone.sync(WINDOW(1), { pos: old.pos });
    expect(JSON.stringify(left.rooms[second])).toContain('"membership":"leave"');
    expect((await phone.sync(WINDOW(1), { pos: left.pos })).lists["all"]?.count).toBe(1);
  });

  it("M97 M2: a position from before its connection was begun again is unknown", async () => {
    const { phone, me } = await twoRooms();
    const old = await phone.sync(ALL);
    const later = await phone.sync(WINDOW(1), { pos: old.pos });
    const { pos } = await phone.sync(ALL);
    await phone.sync(WINDOW(1), { pos });
    await days(me, true);
    for (const one of [old, later]) expect((await phone.request(ALL, { pos: one.pos })).body).toEqual(UNKNOWN_POS);
    expect((await phone.request(ALL, { pos })).status).toBe(200);
  });

  it("M96: it keeps no row of the log; what ended since and is deleted makes a room be sent in full", async () => {
    const everybody = [ALICE, BOB, CAROL];
    const lazily = { limit: 5, state: [["m.room.member", "$LAZY"] as const, ["m.room.topic", ""] as const] };
    const room = await follow(t, dialect, { config: lazily, state: [ev.member(BOB), ev.member(CAROL)], parts: { timeline: messages(1, BOB) } });
    const people = [...everybody, room.me].map((user) => ev.member(user));
    serveMembers(t, room.id, people);
    const every = { ...all({ limit: 5, state: [["m.room.member", "*"] as const] }), connId: "every" };
    const { pos } = room.answer;
    let other = await room.client.sync(every);
    // After a gap the list is fetched again, without Bob.
    serveMembers(
      t,
      room.id,
      people.filter((event) => event.state_key !== BOB),
    );
    await room.deliver({ timeline: messages(1), limited: true, prev_batch: "gap" });
    other = await room.client.sync(every, { pos: other.pos });
    for (let i = 0; i < 3; i += 1) await room.deliver({ timeline: messages(90), prev_batch: `p${i}` });
    await leaveIdle(t, room.me, 2 * HOUR);
    const before = await retain(t);
    const after = await retain(t, HOUR + 60_000);
    expect(before.timeline + after.timeline).toBeGreaterThan(0);
    expect(before.members + after.members).toBeGreaterThan(0);
    await t.restart();
    const back = await room.client.sync(all(lazily), { pos });
    expect(back.rooms[room.id]).toMatchObject({ initial: true, limited: true });
    expect(stateOf(back.rooms[room.id])).toEqual([`m.room.member|${ALICE}`]);
  });

  it("M96 M50: receipts of a room that comes back into scope after weeks are replayed, each that changed, however many", async () => {
    const { one, phone, second, me } = await twoRooms();
    const on = { receipts: { enabled: true } };
    const users = Array.from({ length: 300 }, (_, n) => `@reader${n}:test`);
    const first = await phone.sync({ ...WINDOW(1), ext: on });
    await t.deliver(one.client, v2({ join: { [one.room]: { timeline: messages(1, BOB) }, [second]: { timeline: messages(1, BOB) } } }));
    const narrow = await phone.sync({ subs: { [second]: {} }, ext: on }, { pos: first.pos });
    await t.deliver(one.client, v2({ join: { [one.room]: { ephemeral: users.map((user) => receipt("$far", user)) } } }));
    const out = await phone.sync({ subs: { [second]: {} }, ext: on }, { pos: narrow.pos });
    await days(me, true);
    const back = await phone.sync({ ...WINDOW(1), ext: on }, { pos: out.pos });
    expect(Object.keys(back.extensions["receipts"].rooms[one.room].content.$far["m.read"])).toHaveLength(users.length);
  });

  it("M93 M48: device lists and to-device messages of 20 days are all there", async () => {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    const ask = (since?: string) => ({ ext: { e2ee: { enabled: true }, to_device: { enabled: true, ...(since !== undefined && { since }) } } });
    const first = await phone.sync(ask());
    const { next } = await one.client.sync({ to_device: {} });
    await t.deliver(one.client, v2({ device_lists: { changed: [BOB] }, to_device: [{ type: "m.x", sender: BOB, content: {} }] }));
    await one.client.sync({ to_device: {} }, { since: (await one.client.sync({ to_device: {} }, { since: next })).next });
    await days(one.me, true);
    const { extensions } = await phone.sync(ask(first.extensions["to_device"].next_batch as string), { pos: first.pos });
    expect(extensions["e2ee"].device_lists.changed).toEqual([BOB]);
    expect(extensions["to_device"].events).toHaveLength(1);
  });
});
