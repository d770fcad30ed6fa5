/** Situations that people reported of other servers and clients: account data, receipts, counts, typing. docs/RELIABILITY.md lists all. */

import { describe, expect, it } from "vitest";
import { ev, type Json, newRoom, receipt, typing, v2 } from "../support/fake-homeserver.ts";
import { ALICE, all, BOB, follow, followNothing, messages } from "../support/followed-room.ts";
import { listed, newcomer, stripped } from "../support/listed.ts";
import { type Answer, DIALECTS } from "../support/sliding.ts";
import { hangSliding, LONG, NOTED } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

const tag = (...tags: string[]) => ({ type: "m.tag", content: { tags: Object.fromEntries(tags.map((name) => [name, {}])) } });
const room = () => ({ state: newRoom(ALICE), timeline: [ev.message(ALICE)] });
const EXT = { account_data: { enabled: true } };
const dataOf = (answer: Answer, id: string) => (answer.extensions["account_data"]?.rooms?.[id] ?? []) as Json[];

describe.each(DIALECTS)("account data and receipts (%s)", (dialect) => {
  it("M12 M29: an m.direct with entries that are none loses those entries alone (element-x-android #3074)", async () => {
    const content = {
      [BOB]: ["!dm:test", null, 5, "no room"],
      "@empty:test": [],
      "@wrong:test": "!other:test",
      "bob@mail.test": ["!mail:test"],
      "": null,
    };
    const join = { "!dm:test": room(), "!mail:test": room(), "!other:test": room() };
    const client = newcomer(t, dialect, { join, account_data: [{ type: "m.direct", content }] });
    expect((await listed(client, { is_dm: true })).toSorted()).toEqual(["!dm:test", "!mail:test"]);
    const answer = await client.sync({ ...all(), ext: EXT });
    expect(answer.extensions["account_data"].global).toContainEqual({ type: "m.direct", content });
  });

  it("M22 M29: a direct room is told as direct in whichever window it comes first (matrix-rust-sdk #3990)", async () => {
    const names = Array.from({ length: 6 }, (_, n) => `!direct${n}:test`);
    const join = Object.fromEntries(names.map((id) => [id, room()]));
    const client = newcomer(t, dialect, { join, account_data: [{ type: "m.direct", content: { [ALICE]: names } }] });
    const window = (from: number, to: number) => ({ lists: { all: { ranges: [[from, to]] as const, limit: 1 } } });
    const told: Record<string, unknown> = {};
    let pos: string | undefined;
    for (const [from, to] of [
      [0, 1],
      [0, 3],
      [0, 9],
    ] as const) {
      const answer = await client.sync(window(from, to), { pos });
      ({ pos } = answer);
      for (const [id, { is_dm }] of Object.entries(answer.rooms)) told[id] = is_dm;
    }
    expect(told).toEqual(Object.fromEntries(names.map((id) => [id, true])));
  });

  describe("account data of a room in the join section, and nothing else (matrix-dart-sdk #1916)", () => {
    const withData = (id: string, ...items: Json[]) => ({ join: { [id]: { account_data: items } } });

    it("M32: a room that was left stays left; its account data is there for who asks for it", async () => {
      const one = await follow(t, dialect, { parts: { timeline: messages(1) } });
      await one.leave({ timeline: [ev.member(one.me, "leave")] });
      await one.next();
      const before = await listed(one.client);
      await one.give(withData(one.id, tag("u.late")));
      expect(await one.next()).toBeUndefined();
      expect(await listed(one.client)).toEqual(before);
      const everything = await one.client.client.sync({ account_data: { rooms: "*" } });
      expect(everything["account_data"].rooms[one.id]).toEqual([tag("u.late")]);
    });

    it("M31: an invite stays an invite, is ended by a join, and then has what was told before", async () => {
      const one = await followNothing(t, dialect, { limit: 1 });
      await one.give({ invite: { [one.id]: stripped(one.me, ALICE) } });
      await one.next();
      await one.give(withData(one.id, tag("m.favourite")));
      expect((await one.next())?.["invite_state"]).toEqual(stripped(one.me, ALICE));
      expect(await listed(one.client, { is_invite: true })).toEqual([one.id]);
      await one.give({ join: { [one.id]: { state: newRoom(ALICE), timeline: [ev.member(one.me)] } } });
      await one.ask({ ...all({ limit: 1 }), ext: EXT });
      expect(one.answer.rooms[one.id]).toMatchObject({ initial: true });
      expect(dataOf(one.answer, one.id)).toEqual([tag("m.favourite")]);
      expect(await listed(one.client, { tags: ["m.favourite"] })).toEqual([one.id]);
    });

    it("M9: a room that nobody knows is none", async () => {
      const one = await followNothing(t, dialect, { limit: 1 });
      await one.give({ ...withData(one.id, tag("m.favourite")), invite: { "!asked:test": stripped(one.me, ALICE) } });
      await one.next();
      expect(Object.keys(one.answer.rooms)).toEqual(["!asked:test"]);
      expect(await listed(one.client)).toEqual(["!asked:test"]);
      await one.give({ join: { [one.id]: { state: newRoom(ALICE), timeline: [ev.member(one.me)] } } });
      expect(await one.next()).toMatchObject({ initial: true });
    });

    it("M32 M31: beside the leave or the invite of the same answer, it is the leave or the invite that counts", async () => {
      const one = await follow(t, dialect, { parts: { timeline: messages(1) } });
      await one.give({ ...withData(one.id, tag("u.x")), leave: { [one.id]: { timeline: [ev.member(one.me, "leave")] } } });
      await one.next();
      expect(await listed(one.client, { is_invite: false })).toEqual([]);
      await one.give({ ...withData(one.id, tag("u.y")), invite: { [one.id]: stripped(one.me, ALICE) } });
      expect(await one.next()).toMatchObject({ invite_state: stripped(one.me, ALICE) });
      expect(await listed(one.client, { is_invite: true })).toEqual([one.id]);
    });
  });

  it("M50: a public and a private receipt of one user on different events are both kept, and told (matrix-js-sdk #5541)", async () => {
    const [older, newer] = messages(2);
    const one = await follow(t, dialect, { parts: { timeline: [older ?? {}, newer ?? {}] } });
    const ids = { public: String(older?.["event_id"]), private: String(newer?.["event_id"]) };
    const both = [receipt(ids.private, one.me, "m.read.private"), receipt(ids.public, one.me, "m.read")];
    await one.deliver({ ephemeral: both });
    const request = { ...all(), ext: { receipts: { enabled: true } } };
    const contents: Json[] = [];
    await one.ask(request);
    contents.push(one.answer.extensions["receipts"].rooms[one.id].content);
    contents.push((await one.client.sync({ ...request, connId: "new" })).extensions["receipts"].rooms[one.id].content);
    for (const content of contents) {
      expect(content).toMatchObject({ [ids.public]: { "m.read": { [one.me]: {} } }, [ids.private]: { "m.read.private": { [one.me]: {} } } });
    }
  });

  it("M51: two connections of one device: that one has been told who types takes nothing from the other (tuwunel #107)", async () => {
    const one = await follow(t, dialect);
    const request = (connId: string) => ({ ...all(), connId, ext: { typing: { enabled: true } } });
    const places = { one: (await one.client.sync(request("one"))).pos, two: (await one.client.sync(request("two"))).pos };
    const says = async (connId: "one" | "two") => {
      const answer = await one.client.sync(request(connId), { pos: places[connId] });
      places[connId] = answer.pos;
      return answer.extensions["typing"].rooms[one.id]?.content.user_ids;
    };
    await one.deliver({ ephemeral: [typing(BOB)] });
    expect([await says("one"), await says("two")]).toEqual([[BOB], [BOB]]);
    await one.deliver({ ephemeral: [typing()] });
    expect([await says("two"), await says("one")]).toEqual([[], []]);
  });
});

describe("unread counts", () => {
  it("M27: counts that the homeserver corrects later, in an answer of nothing else, end a wait and are told (synapse #20238)", async () => {
    const one = await follow(t, "unstable", { parts: { timeline: messages(1), unread: { notification_count: 1, highlight_count: 1 } } });
    expect(one.first).toMatchObject({ notification_count: 1, highlight_count: 1 });
    const { answer } = await hangSliding(t, one.client, all(), { pos: one.answer.pos, timeout: LONG });
    await one.deliver({ unread: { notification_count: 0, highlight_count: 0 } });
    expect((await answer).rooms[one.id]).toMatchObject({ notification_count: 0, highlight_count: 0 });
  });

  it("S5: in sync v3 too (synapse #20238)", async () => {
    const join = { "!counts:test": { ...room(), unread: { notification_count: 2, highlight_count: 1 } } };
    const client = t.login("@counts:test", "PHONE", v2({ join }));
    const first = await client.sync({ room_list: {} });
    await t.deliver(client, v2({ join: { "!counts:test": { unread: { notification_count: 0, highlight_count: 0 } } } }));
    const then = await client.sync({}, { since: first.next });
    expect(then["room_list"].rooms).toMatchObject([{ room_id: "!counts:test", notification_count: 0, highlight_count: 0 }]);
  });
});
