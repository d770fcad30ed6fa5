/** The account_data extension. */

import { describe, expect, it } from "vitest";
import { ev, type Json, newRoom, v2 } from "../support/fake-homeserver.ts";
import { scene } from "../support/scene.ts";
import { type Answer, type Ask, DIALECTS, SlidingClient } from "../support/sliding.ts";
import { hangSliding, LONG, newsOf, NOTED, SHORT } from "../support/sliding-waits.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server({ sliding: NOTED });

const BOB = "@bob:test";
const item = (type: string, n: number): Json => ({ type, content: { n } });
const tag = (name: string): Json => ({ type: "m.tag", content: { tags: { [name]: {} } } });
const EXT = { account_data: { enabled: true } };
const ONLY: Ask = { ext: EXT };
const sectionOf = (answer: Answer) =>
  answer.extensions["account_data"] as { readonly global: readonly Json[]; readonly rooms: Readonly<Record<string, Json[]>> };

describe.each(DIALECTS)("account_data (%s)", (dialect) => {
  /** A user in two rooms, of which `near` is the newer one, and a list whose window shows this many of them. */
  async function twoRooms() {
    const one = scene(t);
    const phone = new SlidingClient(one.client, dialect);
    await phone.sync();
    const [near, far] = [`${one.room}near`, one.room];
    await t.deliver(one.client, v2({ join: { [near]: { state: newRoom(one.me) } } }));
    const window = (last: number): Ask => ({ lists: { all: { ranges: [[0, last]], limit: 1 } }, ext: EXT });
    const give = (room: string, ...events: Json[]) => t.deliver(one.client, v2({ join: { [room]: { account_data: events } } }));
    return { ...one, phone, near, far, window, give };
  }

  it("M49: with nothing to send there is an empty section", async () => {
    const phone = new SlidingClient(scene(t).client, dialect);
    const { extensions, pos } = await phone.sync(ONLY);
    expect(extensions["account_data"]).toEqual({ global: [], rooms: {} });
    expect((await phone.sync(ONLY, { pos })).extensions["account_data"]).toEqual({ global: [], rooms: {} });
  });

  it("M49: all global data first, then what changes, the latest of each type", async () => {
    const { client } = scene(t);
    const phone = new SlidingClient(client, dialect);
    await phone.sync();
    await t.deliver(client, v2({ account_data: [item("a", 1), item("m.push_rules", 1)] }), v2({ account_data: [item("a", 2)] }));
    const first = await phone.sync(ONLY);
    expect(sectionOf(first).global).toEqual([item("a", 2), item("m.push_rules", 1)]);
    await t.deliver(client, v2({ account_data: [item("b", 1)] }), v2({ account_data: [item("b", 2)] }));
    const then = await phone.sync(ONLY, { pos: first.pos });
    expect(sectionOf(then).global).toEqual([item("b", 2)]);
    expect(newsOf(await phone.sync(ONLY, { pos: then.pos }))).toEqual({});
    expect(sectionOf(await phone.sync(ONLY, { pos: first.pos })).global, "a retry has it again").toEqual([item("b", 2)]);
  });

  it("M49: tags and read markers of all rooms in scope, whether the room has other news or not", async () => {
    const { phone, near, far, window, give } = await twoRooms();
    await give(near, tag("m.favourite"), item("m.fully_read", 1));
    const first = await phone.sync(window(1));
    expect(sectionOf(first).rooms).toEqual({ [near]: [item("m.fully_read", 1), tag("m.favourite")] });
    await give(far, tag("m.lowpriority"));
    const then = await phone.sync(window(1), { pos: first.pos });
    expect([sectionOf(then).rooms, then.rooms]).toEqual([{ [far]: [tag("m.lowpriority")] }, {}]);
    await give(near, tag("u.x"));
    expect(sectionOf(await phone.sync(window(1), { pos: then.pos })).rooms).toEqual({ [near]: [tag("u.x")] });
  });

  it("M49: when a tag is removed, the remaining ones are sent", async () => {
    const { phone, near, window, give } = await twoRooms();
    await give(near, tag("m.favourite"));
    const first = await phone.sync(window(1));
    await give(near, { type: "m.tag", content: { tags: {} } });
    expect(sectionOf(await phone.sync(window(1), { pos: first.pos })).rooms).toEqual({ [near]: [{ type: "m.tag", content: { tags: {} } }] });
  });

  it("M49 M23: a room that enters the window for the first time is sent with all its data", async () => {
    const { phone, near, far, window, give, deliver } = await twoRooms();
    await give(far, tag("m.favourite"), item("m.fully_read", 1));
    const first = await phone.sync(window(0));
    expect([Object.keys(first.rooms), sectionOf(first).rooms]).toEqual([[near], {}]);
    await give(far, item("m.fully_read", 2));
    const quiet = await phone.sync(window(0), { pos: first.pos });
    expect(newsOf(quiet)).toEqual({});
    await deliver({ timeline: [ev.message(BOB)] });
    const moved = await phone.sync(window(0), { pos: quiet.pos });
    expect(sectionOf(moved).rooms).toEqual({ [far]: [item("m.fully_read", 2), tag("m.favourite")] });
  });

  it("M49 M23: a room that was in the window before is sent with what changed meanwhile, once", async () => {
    const { phone, client, near, far, window, give, deliver } = await twoRooms();
    await give(near, tag("m.favourite"), item("m.fully_read", 1));
    const first = await phone.sync(window(0));
    expect(Object.keys(sectionOf(first).rooms)).toEqual([near]);
    await deliver({ timeline: [ev.message(BOB)] });
    const moved = await phone.sync(window(0), { pos: first.pos });
    expect(Object.keys(moved.rooms)).toEqual([far]);
    await give(near, item("m.fully_read", 2));
    const quiet = await phone.sync(window(0), { pos: moved.pos });
    expect(newsOf(quiet)).toEqual({});
    await t.deliver(client, v2({ join: { [near]: { timeline: [ev.message(BOB)] } } }));
    const back = await phone.sync(window(0), { pos: quiet.pos });
    expect(sectionOf(back).rooms).toEqual({ [near]: [item("m.fully_read", 2)] });
    expect(newsOf(await phone.sync(window(0), { pos: back.pos }))).toEqual({});
    // A retry of an older position misses nothing either.
    expect(sectionOf(await phone.sync(window(0), { pos: quiet.pos })).rooms).toEqual({ [near]: [item("m.fully_read", 2)] });
  });

  it("M49: the data of a room that merely moves in the list is not sent again", async () => {
    const { phone, near, far, window, give, deliver } = await twoRooms();
    await give(near, tag("m.favourite"));
    await give(far, tag("m.lowpriority"));
    const first = await phone.sync(window(1));
    expect(Object.keys(sectionOf(first).rooms).sort()).toEqual([far, near].sort());
    await deliver({ timeline: [ev.message(BOB)] });
    const then = await phone.sync(window(1), { pos: first.pos });
    expect([Object.keys(then.rooms), sectionOf(then).rooms]).toEqual([[far], {}]);
  });

  it("M49 M7: both kinds end a wait; data of a room out of the window does not", async () => {
    const { phone, client, near, far, window, give } = await twoRooms();
    const { pos } = await phone.sync(window(0));
    const room = await hangSliding(t, phone, window(0), { pos, timeout: LONG });
    await give(far, tag("u.far"));
    await give(near, tag("u.near"));
    const sent = await room.answer;
    expect(sectionOf(sent)).toEqual({ global: [], rooms: { [near]: [tag("u.near")] } });
    const global = await hangSliding(t, phone, window(0), { pos: sent.pos, timeout: LONG });
    await t.deliver(client, v2({ account_data: [item("a", 1)] }));
    expect(sectionOf(await global.answer)).toEqual({ global: [item("a", 1)], rooms: {} });
  });

  it("M49: without news the answer comes after the timeout", async () => {
    const { phone, window } = await twoRooms();
    const { pos } = await phone.sync(window(1));
    expect(newsOf(await phone.sync(window(1), { pos, timeout: SHORT }))).toEqual({});
  });

  it("M49 M45: global data that changed while the extension was disabled is sent once it is enabled again", async () => {
    const { phone, client, window } = await twoRooms();
    await t.deliver(client, v2({ account_data: [item("a", 1), item("b", 1)] }));
    const first = await phone.sync(window(1));
    const without: Ask = { ...window(1), ext: {} };
    const off = await phone.sync(without, { pos: first.pos });
    await t.deliver(client, v2({ account_data: [item("b", 2)] }));
    const still = await phone.sync(without, { pos: off.pos });
    const on = await phone.sync(window(1), { pos: still.pos });
    expect(sectionOf(on).global).toEqual([item("b", 2)]);
  });

  it("M49 M5: a restart is not noticeable", async () => {
    const { phone, client, near, window, give } = await twoRooms();
    const first = await phone.sync(window(1));
    await give(near, tag("u.x"));
    await t.deliver(client, v2({ account_data: [item("a", 1)] }));
    await t.restart();
    const then = await phone.sync(window(1), { pos: first.pos });
    expect(sectionOf(then)).toEqual({ global: [item("a", 1)], rooms: { [near]: [tag("u.x")] } });
    await t.restart();
    expect(newsOf(await phone.sync(window(1), { pos: then.pos }))).toEqual({});
  });
});
