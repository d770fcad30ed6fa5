/** MSC4548, sentence by sentence: what enters, leaves and re-enters the scope of the account_data extension, and what enables it. */

import { describe, expect, it } from "vitest";
import { ev, type Json, newRoom, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { ALL, hangSliding, LONG, newsOf, NOTED } from "../support/sliding-waits.ts";
import { type Answer, type Ask, DIALECTS, SlidingClient } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

const BOB = "@bob:test";
const item = (type: string, n: number): Json => ({ type, content: { n } });
const enabled = (more: Json = {}): Json => ({ account_data: { enabled: true, ...more } });
const sectionOf = (answer: Answer) =>
  answer.extensions["account_data"] as { readonly global: readonly Json[]; readonly rooms: Readonly<Record<string, Json[]>> };

describe.each(DIALECTS)("the scope of account_data (%s)", (dialect) => {
  /** A user with global data, in two rooms with data of their own. */
  async function withData() {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    await phone.sync();
    const [a, b] = [one.room, `${one.room}b`];
    await t.deliver(
      one.client,
      v2({
        account_data: [item("g", 1), item("m.push_rules", 1)],
        join: { [a]: { account_data: [item("x", 1), item("y", 1)] }, [b]: { state: newRoom(one.me), account_data: [item("x", 1)] } },
      }),
    );
    const give = (room: string, ...events: Json[]) => t.deliver(one.client, v2({ join: { [room]: { account_data: events } } }));
    const giveGlobal = (...events: Json[]) => t.deliver(one.client, v2({ account_data: events }));
    return { ...one, phone, a, b, give, giveGlobal };
  }
  const EVERYTHING = (a: string, b: string) => ({
    global: [item("g", 1), item("m.push_rules", 1)],
    rooms: { [a]: [item("x", 1), item("y", 1)], [b]: [item("x", 1)] },
  });

  it("M49: a request without pos gets all global data, push rules among it, and all of each room in scope", async () => {
    const { phone, a, b } = await withData();
    expect(sectionOf(await phone.sync({ ...ALL, ext: enabled() }))).toEqual(EVERYTHING(a, b));
  });

  it("M49: the first enabling on a connection gets the same, whenever it comes", async () => {
    const { phone, a, b } = await withData();
    const first = await phone.sync(ALL);
    const second = await phone.sync(ALL, { pos: first.pos });
    expect(sectionOf(await phone.sync({ ...ALL, ext: enabled() }, { pos: second.pos }))).toEqual(EVERYTHING(a, b));
  });

  it("M49: global data comes whatever `lists` and `rooms` say", async () => {
    const { phone, a, b, giveGlobal } = await withData();
    const nowhere: Ask = { ...ALL, ext: enabled({ lists: [], rooms: [] }) };
    const first = await phone.sync(nowhere);
    expect(sectionOf(first)).toEqual({ global: EVERYTHING(a, b).global, rooms: {} });
    await giveGlobal(item("g", 2));
    expect(sectionOf(await phone.sync(nowhere, { pos: first.pos }))).toEqual({ global: [item("g", 2)], rooms: {} });
  });

  it("M49: a list has at most one entry of each type, the present one", async () => {
    const { phone, a, give, giveGlobal } = await withData();
    const first = await phone.sync({ ...ALL, ext: enabled() });
    for (const n of [2, 3]) {
      // In this order: the later one counts.
      // oxlint-disable-next-line no-await-in-loop
      await Promise.all([giveGlobal(item("g", n)), give(a, item("x", n))]);
    }
    const then = await phone.sync({ ...ALL, ext: enabled() }, { pos: first.pos });
    expect(sectionOf(then)).toEqual({ global: [item("g", 3)], rooms: { [a]: [item("x", 3)] } });
  });

  it("M49: a retry with the same pos gets the data of the lost answer again: the first enabling, and a change", async () => {
    const { phone, a, b, give, giveGlobal } = await withData();
    const first = await phone.sync(ALL);
    const asking: Ask = { ...ALL, ext: enabled() };
    const lost = await phone.sync(asking, { pos: first.pos });
    expect(sectionOf(lost)).toEqual(EVERYTHING(a, b));
    const again = await phone.sync(asking, { pos: first.pos });
    expect(sectionOf(again)).toEqual(EVERYTHING(a, b));
    await Promise.all([give(a, item("x", 2)), giveGlobal(item("g", 2))]);
    const changes = { global: [item("g", 2)], rooms: { [a]: [item("x", 2)] } };
    expect(sectionOf(await phone.sync(asking, { pos: again.pos }))).toEqual(changes);
    expect(sectionOf(await phone.sync(asking, { pos: again.pos }))).toEqual(changes);
  });

  it("M49 M23: a room that re-enters scope comes with the types that changed while it was out, also where it has no other news", async () => {
    const { phone, a, b, give } = await withData();
    const named = (...rooms: string[]): Ask => ({ subs: { [a]: { limit: 1 }, [b]: { limit: 1 } }, ext: enabled({ rooms }) });
    const first = await phone.sync(named(a, b));
    const out = await phone.sync(named(b), { pos: first.pos });
    await give(a, item("y", 2));
    const quiet = await phone.sync(named(b), { pos: out.pos });
    expect(newsOf(quiet)).toEqual({});
    const back = await phone.sync(named(a, b), { pos: quiet.pos });
    expect([back.rooms, sectionOf(back)]).toEqual([{}, { global: [], rooms: { [a]: [item("y", 2)] } }]);
    expect(sectionOf(await phone.sync(named(a, b), { pos: quiet.pos })).rooms, "a retry").toEqual({ [a]: [item("y", 2)] });
    expect(newsOf(await phone.sync(named(a, b), { pos: back.pos }))).toEqual({});
  });

  it("M49 M45: enabled again after it was disabled, it has what changed since, global and of rooms", async () => {
    const { phone, a, give, giveGlobal } = await withData();
    const asking: Ask = { ...ALL, ext: enabled() };
    const first = await phone.sync(asking);
    const off = await phone.sync(ALL, { pos: first.pos });
    expect(off.extensions).toEqual({});
    await Promise.all([give(a, item("x", 2)), giveGlobal(item("g", 2))]);
    expect(sectionOf(await phone.sync(asking, { pos: off.pos }))).toEqual({ global: [item("g", 2)], rooms: { [a]: [item("x", 2)] } });
  });

  describe("whatever the membership", () => {
    const invitation = (me: string): Json[] => [
      { type: "m.room.create", state_key: "", sender: BOB, content: { room_version: "10" } },
      { type: "m.room.member", state_key: me, sender: BOB, content: { membership: "invite" } },
    ];
    const knocking = (me: string): Json[] => [{ type: "m.room.member", state_key: me, sender: me, content: { membership: "knock" } }];

    it.each(["invite", "knock"] as const)("M49: data of a room with an %s", async (section) => {
      const { phone, client, me, a } = await withData();
      await t.deliver(client, v2({ leave: { [a]: { timeline: [ev.member(me, "leave")] } } }));
      await t.deliver(client, v2({ [section]: { [a]: section === "invite" ? invitation(me) : knocking(me) } }));
      const first = await phone.sync({ subs: { [a]: { limit: 1 } }, ext: enabled() });
      expect(first.rooms[a]).toHaveProperty("invite_state");
      expect(sectionOf(first).rooms).toEqual({ [a]: [item("x", 1), item("y", 1)] });
    });

    it("M49: data of a room that was left, all of it and then what changes", async () => {
      const { phone, client, me, a } = await withData();
      await t.deliver(client, v2({ leave: { [a]: { timeline: [ev.member(me, "leave")] } } }));
      const ask: Ask = { subs: { [a]: { limit: 1 } }, ext: enabled() };
      const first = await phone.sync(ask);
      expect(sectionOf(first).rooms).toEqual({ [a]: [item("x", 1), item("y", 1)] });
      const { answer } = await hangSliding(t, phone, ask, { pos: first.pos, timeout: LONG });
      await t.deliver(client, v2({ leave: { [a]: { account_data: [item("x", 2)] } } }));
      expect(sectionOf(await answer).rooms).toEqual({ [a]: [item("x", 2)] });
    });

    it("M49: leaving and joining again is nothing new for account data", async () => {
      const { phone, client, me, a, b, deliver } = await withData();
      const asking: Ask = { ...ALL, ext: enabled() };
      const first = await phone.sync(asking);
      await t.deliver(client, v2({ leave: { [a]: { timeline: [ev.member(me, "leave")] } } }));
      const left = await phone.sync(asking, { pos: first.pos });
      await deliver({ timeline: [ev.member(me)], account_data: [item("x", 2)] });
      const back = await phone.sync(asking, { pos: left.pos });
      expect(sectionOf(back).rooms).toEqual({ [a]: [item("x", 2)] });
      expect(sectionOf(first).rooms).toEqual(EVERYTHING(a, b).rooms);
    });
  });

  it("M49: content that is empty is content: nothing is taken for deleted", async () => {
    const { phone, a, give, giveGlobal } = await withData();
    const asking: Ask = { ...ALL, ext: enabled() };
    const first = await phone.sync(asking);
    const empty = (type: string): Json => ({ type, content: {} });
    await Promise.all([giveGlobal(empty("g")), give(a, empty("x"))]);
    expect(sectionOf(await phone.sync(asking, { pos: first.pos }))).toEqual({ global: [empty("g")], rooms: { [a]: [empty("x")] } });
    expect(sectionOf(await phone.sync({ ...asking, connId: "new" })).global).toContainEqual(empty("g"));
  });

  it("M49: each connection has its own position, and after M_UNKNOWN_POS the new one gets all of it", async () => {
    const { phone, a, b, giveGlobal } = await withData();
    const asking: Ask = { ...ALL, ext: enabled() };
    const [one, other] = [await phone.sync(asking), await phone.sync({ ...asking, connId: "other" })];
    await giveGlobal(item("g", 2));
    const then = await phone.sync(asking, { pos: one.pos });
    expect(sectionOf(then).global).toEqual([item("g", 2)]);
    expect(sectionOf(await phone.sync({ ...asking, connId: "other" }, { pos: other.pos })).global).toEqual([item("g", 2)]);
    const fresh = await phone.sync(asking);
    expect((await phone.request(asking, { pos: then.pos })).body["errcode"]).toBe("M_UNKNOWN_POS");
    expect(sectionOf(fresh)).toEqual({ global: [item("g", 2), item("m.push_rules", 1)], rooms: EVERYTHING(a, b).rooms });
  });
});
