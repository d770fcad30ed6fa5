/** The receipts extension. */

import { describe, expect, it } from "vitest";
import { ev, type Json, newRoom, receipt, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { type Answer, type Ask, DIALECTS, SlidingClient, timelineIds } from "../support/sliding.ts";
import { hangSliding, LONG, newsOf, NOTED } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

const BOB = "@bob:test";
const CAROL = "@carol:test";
const EXT = { receipts: { enabled: true } };

/** The receipts of each room, as `event kind user`. */
function receiptsOf(answer: Answer, room: string): string[] {
  const content = (answer.extensions["receipts"]?.rooms[room]?.content ?? {}) as Record<string, Record<string, Json>>;
  return Object.entries(content)
    .flatMap(([event, kinds]) => Object.entries(kinds).flatMap(([kind, users]) => Object.keys(users).map((user) => `${event} ${kind} ${user}`)))
    .sort();
}
const read = (event: { event_id: string }, user: string, kind = "m.read") => `${event.event_id} ${kind} ${user}`;

describe.each(DIALECTS)("receipts (%s)", (dialect) => {
  /** A user in a room with three messages and some receipts. */
  async function withReceipts() {
    const one = scene(t, { others: [BOB, CAROL] });
    const phone = new SlidingClient(one.client, dialect);
    await phone.sync();
    const messages = [ev.message(BOB, "1"), ev.message(BOB, "2"), ev.message(BOB, "3")] as const;
    const [m1, m2, m3] = messages;
    await one.deliver({ timeline: [...messages], ephemeral: [receipt(m1.event_id, BOB), receipt(m3.event_id, CAROL), receipt(m1.event_id, one.me)] });
    const asking = (limit: number): Ask => ({ lists: { all: { ranges: [[0, 0]], limit } }, ext: EXT });
    const mark = (event: { event_id: string }, user: string, kind?: string) => one.deliver({ ephemeral: [receipt(event.event_id, user, kind)] });
    /** Another room moves to the top of the list, so this one leaves its window. */
    const pushOut = () => t.deliver(one.client, v2({ join: { [`${one.room}other`]: { state: newRoom(one.me), timeline: [ev.message(BOB)] } } }));
    return { ...one, phone, asking, mark, pushOut, m1, m2, m3 };
  }

  it("M50: a room in full comes with the receipts on its events, and the user's own wherever they are", async () => {
    const { phone, asking, room, me, m1, m3 } = await withReceipts();
    const first = await phone.sync(asking(2));
    expect(timelineIds(first.rooms[room])).toHaveLength(2);
    expect(receiptsOf(first, room)).toEqual([read(m1, me), read(m3, CAROL)].sort());
    expect(receiptsOf(await phone.sync(asking(3)), room)).toEqual([read(m1, BOB), read(m1, me), read(m3, CAROL)].sort());
  });

  it("M50: the content is that of an m.receipt event, with its data as it came", async () => {
    const { phone, asking, room, deliver, m2 } = await withReceipts();
    const first = await phone.sync(asking(1));
    const data = { ts: 17, thread_id: "main", "org.x": [1.5] };
    await deliver({ ephemeral: [receipt(m2.event_id, BOB, "m.read", data)] });
    const then = await phone.sync(asking(1), { pos: first.pos });
    expect(then.extensions["receipts"]).toEqual({
      rooms: { [room]: { type: "m.receipt", content: { [m2.event_id]: { "m.read": { [BOB]: data } } } } },
    });
  });

  it("M50: then all that come, also on events that were not sent, and none twice", async () => {
    const { phone, asking, room, mark, m1, m2, m3 } = await withReceipts();
    const first = await phone.sync(asking(1));
    await mark(m2, BOB);
    const then = await phone.sync(asking(1), { pos: first.pos });
    expect([receiptsOf(then, room), then.rooms]).toEqual([[read(m2, BOB)], {}]);
    await mark(m3, BOB);
    await mark(m1, "@dora:test");
    const last = await phone.sync(asking(1), { pos: then.pos });
    expect(receiptsOf(last, room)).toEqual([read(m1, "@dora:test"), read(m3, BOB)].sort());
    expect(newsOf(await phone.sync(asking(1), { pos: last.pos }))).toEqual({});
  });

  it("M50: the own private ones, and never those of others", async () => {
    const { phone, asking, room, me, mark, m2, m3 } = await withReceipts();
    const { pos } = await phone.sync(asking(3));
    const { answer } = await hangSliding(t, phone, asking(3), { pos, timeout: LONG });
    await mark(m3, BOB, "m.read.private");
    await mark(m2, me, "m.read.private");
    expect(receiptsOf(await answer, room)).toEqual([read(m2, me, "m.read.private")]);
    expect(JSON.stringify((await phone.sync(asking(3))).extensions)).not.toContain(`"m.read.private":{"${BOB}"`);
  });

  it("M50 M36: an expanded timeline brings the receipts on its events", async () => {
    const { phone, asking, room, me, m1, m3 } = await withReceipts();
    const first = await phone.sync(asking(1));
    expect(receiptsOf(first, room)).toEqual([read(m1, me), read(m3, CAROL)].sort());
    const grown = await phone.sync(asking(3), { pos: first.pos });
    expect(receiptsOf(grown, room)).toContain(read(m1, BOB));
  });

  it("M50 M45 M36: an expanded timeline of a room that is out of the extension's scope brings none", async () => {
    const { phone, asking, room } = await withReceipts();
    const nowhere = { receipts: { enabled: true, lists: [], rooms: [] } };
    const first = await phone.sync({ ...asking(1), ext: nowhere });
    const grown = await phone.sync({ ...asking(3), ext: nowhere }, { pos: first.pos });
    expect([timelineIds(grown.rooms[room]).length, grown.extensions["receipts"]]).toEqual([3, { rooms: {} }]);
  });

  it("M50 M23: a room that was out of the window brings what it missed, once", async () => {
    const { phone, asking, room, mark, pushOut, deliver, m2 } = await withReceipts();
    const first = await phone.sync(asking(1));
    await pushOut();
    const out = await phone.sync(asking(1), { pos: first.pos });
    expect(Object.keys(out.rooms)).toEqual([`${room}other`]);
    await mark(m2, BOB);
    const quiet = await phone.sync(asking(1), { pos: out.pos });
    expect(newsOf(quiet)).toEqual({});
    const message = ev.message(BOB);
    await deliver({ timeline: [message], ephemeral: [receipt(message.event_id, CAROL)] });
    const back = await phone.sync(asking(1), { pos: quiet.pos });
    expect(receiptsOf(back, room)).toEqual([read(m2, BOB), read(message, CAROL)].sort());
    expect(newsOf(await phone.sync(asking(1), { pos: back.pos }))).toEqual({});
  });

  it("M50 M23: one that was never in it comes with those on its events", async () => {
    const { phone, asking, room, me, mark, pushOut, deliver, m1, m2, m3 } = await withReceipts();
    await pushOut();
    const first = await phone.sync(asking(1));
    expect(receiptsOf(first, room)).toEqual([]);
    await mark(m2, BOB);
    await deliver({ timeline: [ev.message(BOB)] });
    const then = await phone.sync(asking(3), { pos: first.pos });
    expect(then.rooms[room]?.["initial"]).toBe(true);
    expect(receiptsOf(then, room)).toEqual([read(m1, me), read(m2, BOB), read(m3, CAROL)].sort());
  });

  it("M50 M33: a room that is joined again, and so sent in full again, comes with the user's own receipts", async () => {
    const { phone, asking, room, me, client, deliver, m1 } = await withReceipts();
    const first = await phone.sync(asking(5));
    await t.deliver(client, v2({ leave: { [room]: { timeline: [ev.member(me, "leave")] } } }));
    const left = await phone.sync(asking(5), { pos: first.pos });
    await deliver({ timeline: [ev.member(me), ev.message(BOB)] });
    const again = await phone.sync(asking(5), { pos: left.pos });
    // The events from before are behind a gap, but the user's own receipt is sent.
    expect([again.rooms[room]?.["initial"], timelineIds(again.rooms[room]).length, receiptsOf(again, room)]).toEqual([true, 2, [read(m1, me)]]);
  });

  describe.each(["unthreaded", "threaded"] as const)("an unthreaded and a threaded receipt on one event, first the %s one", (early) => {
    const data = { unthreaded: { ts: 1 }, threaded: { ts: 2, thread_id: "main" } };
    const late = early === "threaded" ? "unthreaded" : "threaded";
    async function marking() {
      const at = await withReceipts();
      const mark = (which: keyof typeof data) => at.deliver({ ephemeral: [receipt(at.m2.event_id, BOB, "m.read", data[which])] });
      const dataIn = (answer: Answer) => answer.extensions["receipts"]?.rooms[at.room]?.content[at.m2.event_id]?.["m.read"]?.[BOB];
      return { ...at, mark, dataIn };
    }

    it("T9: one answer has the unthreaded one: a retry, a fresh one, and one that expands the timeline", async () => {
      const { phone, asking, mark, dataIn } = await marking();
      const first = await phone.sync(asking(1));
      await mark(early);
      const then = await phone.sync(asking(1), { pos: first.pos });
      await mark(late);
      expect(dataIn(await phone.sync(asking(1), { pos: first.pos }))).toEqual(data.unthreaded);
      expect(dataIn(await phone.sync(asking(3), { pos: then.pos }))).toEqual(data.unthreaded);
      expect(dataIn(await phone.sync(asking(3)))).toEqual(data.unthreaded);
    });

    it("T9: one that comes after the other was sent is sent apart", async () => {
      const { phone, asking, mark, dataIn } = await marking();
      const first = await phone.sync(asking(1));
      await mark(early);
      const then = await phone.sync(asking(1), { pos: first.pos });
      expect(dataIn(then)).toEqual(data[early]);
      await mark(late);
      const last = await phone.sync(asking(1), { pos: then.pos });
      expect(dataIn(last)).toEqual(data[late]);
      expect(newsOf(await phone.sync(asking(1), { pos: last.pos }))).toEqual({});
    });
  });

  it("M50: nothing is sent for a room that the user is not in", async () => {
    const { phone, asking, room, me, client } = await withReceipts();
    const first = await phone.sync(asking(1));
    await t.deliver(client, v2({ leave: { [room]: { timeline: [ev.member(me, "ban", {}, { sender: BOB })] } } }));
    const banned = await phone.sync(asking(1), { pos: first.pos });
    expect(receiptsOf(banned, room)).toEqual([]);
    expect(Object.keys((await phone.sync({ subs: { [room]: { limit: 1 } }, ext: EXT })).extensions["receipts"].rooms)).toEqual([]);
  });

  it("M50 M7: they end a wait, and those of a room out of the window do not", async () => {
    const { phone, asking, room, mark, pushOut, client, m2 } = await withReceipts();
    await pushOut();
    const other = `${room}other`;
    const { pos } = await phone.sync(asking(1));
    const { answer } = await hangSliding(t, phone, asking(1), { pos, timeout: LONG });
    await mark(m2, BOB);
    await t.deliver(client, v2({ join: { [other]: { ephemeral: [receipt("$x", CAROL)] } } }));
    const then = await answer;
    expect([receiptsOf(then, room), receiptsOf(then, other)]).toEqual([[], ["$x m.read @carol:test"]]);
  });

  it("M50 M5: a restart is not noticeable", async () => {
    const { phone, asking, room, mark, m2 } = await withReceipts();
    const first = await phone.sync(asking(1));
    await mark(m2, BOB);
    await t.restart();
    const then = await phone.sync(asking(1), { pos: first.pos });
    expect(receiptsOf(then, room)).toEqual([read(m2, BOB)]);
    await t.restart();
    expect(newsOf(await phone.sync(asking(1), { pos: then.pos }))).toEqual({});
  });
});
