/** MSC4551, sentence by sentence: what enters, leaves and re-enters the scope of the receipts extension, and what enables it. */

import { describe, expect, it } from "vitest";
import { ev, type Json, newRoom, receipt, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { type Answer, type Ask, DIALECTS, SlidingClient, timelineIds } from "../support/sliding.ts";
import { hangSliding, LONG, newsOf, NOTED } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

const BOB = "@bob:test";
const CAROL = "@carol:test";
const THREAD = { ts: 2, thread_id: "$thread" };

/** The receipts of a room, as `event kind user`. */
function receiptsOf(answer: Answer, room: string): string[] {
  const content = (answer.extensions["receipts"]?.rooms[room]?.content ?? {}) as Record<string, Record<string, Json>>;
  return Object.entries(content)
    .flatMap(([event, kinds]) => Object.entries(kinds).flatMap(([kind, users]) => Object.keys(users).map((user) => `${event} ${kind} ${user}`)))
    .sort();
}
type Event = { readonly event_id: string };
const read = (event: Event, user: string, kind = "m.read") => `${event.event_id} ${kind} ${user}`;

describe.each(DIALECTS)("the scope of receipts (%s)", (dialect) => {
  /**
   * A user in a room with three messages. BOB has read the first, CAROL the last. The user has read the first, the thread's second, and the first
   * in private. A second room is there to push the first one out of the window.
   */
  async function withReceipts() {
    const one = scene(t, { others: [BOB, CAROL] });
    const { room, me, client, deliver } = one;
    const phone = new SlidingClient(client, dialect);
    await phone.sync();
    const messages = [ev.message(BOB, "1"), ev.message(BOB, "2"), ev.message(BOB, "3")] as const;
    const [m1, m2, m3] = messages;
    const other = `${room}other`;
    await t.deliver(client, v2({ join: { [other]: { state: newRoom(me) } } }));
    const own = [receipt(m1.event_id, me), receipt(m2.event_id, me, "m.read", THREAD), receipt(m1.event_id, me, "m.read.private")];
    await deliver({ timeline: [...messages], ephemeral: [receipt(m1.event_id, BOB), receipt(m3.event_id, CAROL), ...own] });
    const ofMe = [read(m1, me), read(m2, me), read(m1, me, "m.read.private")];
    const mark = (event: Event, user: string) => deliver({ ephemeral: [receipt(event.event_id, user)] });
    const say = async (into: string) => {
      const message = ev.message(BOB);
      await t.deliver(client, v2({ join: { [into]: { timeline: [message] } } }));
      return message;
    };
    const leave = () => t.deliver(client, v2({ leave: { [room]: { timeline: [ev.member(me, "leave")] } } }));
    /** The first room of the list, and with `ext` the extension; `lists` names those in its scope. */
    const top = (limit = 1, ext: Json | null = {}): Ask => ({
      lists: { all: { ranges: [[0, 0]], limit } },
      ...(ext && { ext: { receipts: { enabled: true, ...ext } } }),
    });
    return { ...one, phone, other, m1, m2, m3, ofMe, mark, say, leave, top };
  }

  it("M50: on entering scope, everybody's receipts on the timeline of the answer, and all of the user's own, threaded, private, and wherever they are", async () => {
    const { phone, room, m1, m3, ofMe, top } = await withReceipts();
    expect(receiptsOf(await phone.sync(top(1)), room)).toEqual([...ofMe, read(m3, CAROL)].sort());
    expect(receiptsOf(await phone.sync(top(3)), room)).toEqual([...ofMe, read(m3, CAROL), read(m1, BOB)].sort());
    expect(receiptsOf(await phone.sync(top(0)), room), "no timeline").toEqual([...ofMe].sort());
  });

  it("M50: at the first enabling, those on the events of this answer and the user's own: none on events that were sent earlier", async () => {
    const { phone, room, ofMe, say, mark, top } = await withReceipts();
    const first = await phone.sync(top(3, null));
    const quiet = await phone.sync(top(3), { pos: first.pos });
    expect([quiet.rooms, receiptsOf(quiet, room)]).toEqual([{}, [...ofMe].sort()]);
    const late = await say(room);
    await mark(late, CAROL);
    const then = await phone.sync(top(3), { pos: first.pos });
    expect(timelineIds(then.rooms[room])).toEqual([late.event_id]);
    expect(receiptsOf(then, room)).toEqual([...ofMe, read(late, CAROL)].sort());
  });

  it("M50 M3: a retry with the same pos gets those of the lost answer again: on entering, of a change, and on re-entering", async () => {
    const { phone, room, m2, m3, ofMe, mark, top } = await withReceipts();
    const nowhere = top(1, { lists: [] });
    const none = await phone.sync(nowhere);
    for (const time of ["lost", "again"]) expect(receiptsOf(await phone.sync(top(1), { pos: none.pos }), room), time).toEqual([...ofMe].sort());
    const first = await phone.sync(top(1), { pos: none.pos });
    await mark(m2, BOB);
    for (const time of ["lost", "again"]) expect(receiptsOf(await phone.sync(top(1), { pos: first.pos }), room), time).toEqual([read(m2, BOB)]);
    const then = await phone.sync(top(1), { pos: first.pos });
    const out = await phone.sync(nowhere, { pos: then.pos });
    await mark(m3, BOB);
    const still = await phone.sync(nowhere, { pos: out.pos });
    for (const time of ["lost", "again"]) expect(receiptsOf(await phone.sync(top(1), { pos: still.pos }), room), time).toEqual([read(m3, BOB)]);
    await mark(m2, CAROL);
    expect(receiptsOf(await phone.sync(top(1), { pos: still.pos }), room), "and what came meanwhile").toEqual(
      [read(m2, CAROL), read(m3, BOB)].sort(),
    );
  });

  it("M50 M23: on re-entering, every receipt that changed since the pos of the first request in which the room was out, each once with its present value", async () => {
    const { phone, room, other, m1, m2, m3, mark, say, top } = await withReceipts();
    const first = await phone.sync(top(1));
    // The room is still in scope as far as the client knows: this comes after the position of the first request without it.
    await mark(m2, BOB);
    await say(other);
    const out = await phone.sync(top(1), { pos: first.pos });
    expect([Object.keys(out.rooms), receiptsOf(out, room)]).toEqual([[other], []]);
    await mark(m1, CAROL);
    await mark(m2, CAROL);
    const still = await phone.sync(top(1), { pos: out.pos });
    expect(newsOf(still)).toEqual({});
    await mark(m3, "@dora:test");
    const message = await say(room);
    const back = await phone.sync(top(1), { pos: still.pos });
    expect(timelineIds(back.rooms[room])).toEqual([message.event_id]);
    expect(receiptsOf(back, room)).toEqual([read(m2, BOB), read(m2, CAROL), read(m3, "@dora:test")].sort());
    expect(newsOf(await phone.sync(top(1), { pos: back.pos }))).toEqual({});
  });

  it("M50 M36: one that re-enters with an expanded timeline has both: what changed while it was out, and those on its timeline", async () => {
    const { phone, room, m2, m3, ofMe, mark, top } = await withReceipts();
    const first = await phone.sync(top(1));
    const out = await phone.sync(top(1, { lists: [] }), { pos: first.pos });
    await mark({ event_id: "$before" }, "@dora:test");
    await mark(m2, BOB);
    const still = await phone.sync(top(1, { lists: [] }), { pos: out.pos });
    const back = await phone.sync(top(3), { pos: still.pos });
    expect(back.rooms[room]?.["unstable_expanded_timeline"]).toBe(true);
    const expected = [read({ event_id: "$before" }, "@dora:test"), read(m2, BOB), read(m3, CAROL)];
    expect(receiptsOf(back, room)).toEqual(expect.arrayContaining(expected));
    expect(receiptsOf(back, room).filter((one) => !expected.includes(one) && !ofMe.includes(one))).toEqual([]);
  });

  it("M50: a room that drops out of scope brings nothing more, and ends no wait", async () => {
    const { phone, client, room, other, m2, mark, top } = await withReceipts();
    const nowhere = top(1, { lists: [] });
    const both: Ask = { ...nowhere, subs: { [other]: { limit: 1 } } };
    const first = await phone.sync(top(1));
    const out = await phone.sync(both, { pos: first.pos });
    const { answer } = await hangSliding(t, phone, both, { pos: out.pos, timeout: LONG });
    await mark(m2, BOB);
    await t.deliver(client, v2({ join: { [other]: { ephemeral: [receipt("$x", BOB)] } } }));
    const then = await answer;
    expect([receiptsOf(then, room), receiptsOf(then, other)]).toEqual([[], ["$x m.read @bob:test"]]);
  });

  it("M50 M45: enabled again after it was disabled, it has what changed since; a room that was never in scope enters for the first time", async () => {
    const { phone, room, other, me, client, m2, ofMe, mark, top } = await withReceipts();
    const both: Ask = { ...top(1), subs: { [room]: { limit: 1 }, [other]: { limit: 1 } } };
    const first = await phone.sync({ ...both, ext: { receipts: { enabled: true, lists: [], rooms: [room] } } });
    expect(receiptsOf(first, room)).toEqual(expect.arrayContaining(ofMe));
    const off = await phone.sync({ ...both, ext: {} }, { pos: first.pos });
    await mark(m2, BOB);
    await t.deliver(client, v2({ join: { [other]: { ephemeral: [receipt("$x", me), receipt("$y", BOB)] } } }));
    const still = await phone.sync({ ...both, ext: {} }, { pos: off.pos });
    const on = await phone.sync(both, { pos: still.pos });
    expect([receiptsOf(on, room), receiptsOf(on, other)]).toEqual([[read(m2, BOB)], [`$x m.read ${me}`]]);
  });

  describe("only rooms that the user is joined to", () => {
    it("M50: a room that was left is out of scope, though a subscription covers it", async () => {
      const { phone, room, client, leave } = await withReceipts();
      const ask: Ask = { subs: { [room]: { limit: 3 } }, ext: { receipts: { enabled: true } } };
      await leave();
      await t.deliver(client, v2({ leave: { [room]: { ephemeral: [receipt("$late", BOB)] } } }));
      const { rooms, extensions } = await phone.sync(ask);
      expect([Object.keys(rooms), extensions["receipts"]]).toEqual([[room], { rooms: {} }]);
    });

    it("M50 M33: joined again, the room enters scope for the first time: no change of while it was out, unless it is on the timeline", async () => {
      const { phone, room, me, m1, m2, ofMe, leave, deliver, top } = await withReceipts();
      const first = await phone.sync(top(3));
      await leave();
      const left = await phone.sync(top(3), { pos: first.pos });
      const message = ev.message(BOB);
      await deliver({
        timeline: [ev.member(me), message],
        ephemeral: [receipt(m2.event_id, BOB), receipt(m1.event_id, "@dora:test"), receipt(message.event_id, CAROL)],
      });
      const back = await phone.sync(top(2), { pos: left.pos });
      expect([back.rooms[room]?.["initial"], timelineIds(back.rooms[room]).length]).toEqual([true, 2]);
      expect(receiptsOf(back, room)).toEqual([...ofMe, read(message, CAROL)].sort());
      expect(receiptsOf(await phone.sync(top(2), { pos: left.pos }), room), "a retry").toEqual(receiptsOf(back, room));
      expect(newsOf(await phone.sync(top(2), { pos: back.pos }))).toEqual({});
    });

    it("M50 M33: also where it was left and joined again while it was out of the window, or while the extension was disabled", async () => {
      const { phone, room, me, other, ofMe, leave, deliver, say, top } = await withReceipts();
      const nowhere = top(1, { lists: [] });
      for (const out of [top(1), nowhere, top(1, null)]) {
        // One after the other: each goes on where the last one ended.
        /* oxlint-disable no-await-in-loop */
        const first = await phone.sync(top(1));
        expect(Object.keys(first.rooms)).toEqual([room]);
        await say(other);
        const away = await phone.sync(out, { pos: first.pos });
        await leave();
        const left = await phone.sync(out, { pos: away.pos });
        await deliver({ timeline: [ev.member(me)] });
        await say(other);
        const joined = await phone.sync(out, { pos: left.pos });
        const message = await say(room);
        await deliver({ ephemeral: [receipt("$elsewhere", BOB), receipt(message.event_id, CAROL)] });
        const back = await phone.sync(top(1), { pos: joined.pos });
        expect(back.rooms[room]?.["initial"]).toBe(true);
        expect(receiptsOf(back, room)).toEqual([...ofMe, read(message, CAROL)].sort());
        /* oxlint-enable no-await-in-loop */
      }
    });

    it("M50 M33: and where the extension's scope alone comes back after the room was sent again", async () => {
      const { phone, room, me, ofMe, leave, deliver, top } = await withReceipts();
      const nowhere = top(3, { lists: [] });
      const first = await phone.sync(top(3));
      const out = await phone.sync(nowhere, { pos: first.pos });
      await leave();
      const left = await phone.sync(nowhere, { pos: out.pos });
      await deliver({ timeline: [ev.member(me)] });
      const joined = await phone.sync(nowhere, { pos: left.pos });
      expect([joined.rooms[room]?.["initial"], receiptsOf(joined, room)]).toEqual([true, []]);
      const back = await phone.sync(top(3), { pos: joined.pos });
      expect([back.rooms, receiptsOf(back, room)]).toEqual([{}, [...ofMe].sort()]);
      expect(newsOf(await phone.sync(top(3), { pos: back.pos }))).toEqual({});
    });
  });

  it("M50: each connection has its own position, and a new one begins with what enters scope", async () => {
    const { phone, room, m2, m3, ofMe, mark, top } = await withReceipts();
    const [one, two] = [await phone.sync(top(1)), await phone.sync({ ...top(1), connId: "two" })];
    await mark(m2, BOB);
    for (const [connId, pos] of [
      ["test", one.pos],
      ["two", two.pos],
    ] as const)
      expect(receiptsOf(await phone.sync({ ...top(1), connId }, { pos }), room), connId).toEqual([read(m2, BOB)]);
    expect(receiptsOf(await phone.sync(top(1)), room)).toEqual([...ofMe, read(m3, CAROL)].sort());
  });

  it("M50: the content is bare in v4, and an m.receipt event in the unstable dialect", async () => {
    const { phone, room, m2, top } = await withReceipts();
    const reply = await phone.request(top(1));
    const shown = (reply.body["extensions"] as Json & { receipts: { rooms: Record<string, Json> } }).receipts.rooms[room] ?? {};
    const content = (dialect === "v4" ? shown : shown["content"]) as Record<string, { "m.read": Json }>;
    if (dialect === "unstable") expect(Object.keys(shown)).toEqual(["type", "content"]);
    expect(Object.values(content[m2.event_id]?.["m.read"] ?? {})).toEqual([THREAD]);
  });
});
