/** Situations that people reported of other servers and clients: which rooms there are, and what they are called. docs/RELIABILITY.md lists all. */

import { describe, expect, it } from "vitest";
import { ev, type Json, newRoom } from "../support/fake-homeserver.ts";
import { ALICE, all, BOB, CAROL, follow, messages, newNames, stateEvent } from "../support/followed-room.ts";
import { listed, newcomer } from "../support/listed.ts";
import { DIALECTS, stateOf, timelineIds } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const NAMED = { limit: 5, state: [["m.room.name", ""] as const] };
const room = (name: string, version = "10") => ({
  state: [...newRoom(ALICE, { room_version: version }), ev.name(ALICE, name)],
  timeline: [ev.message(ALICE)],
});

describe.each(DIALECTS)("rooms (%s)", (dialect) => {
  it("M9 M33: a room that was left, or that one was kicked from, and joined again is listed for a new login, with its history (synapse #17781)", async () => {
    const one = await follow(t, dialect, { parts: { timeline: messages(2) } });
    for (const sender of [one.me, ALICE]) {
      await one.leave({ timeline: [ev.member(one.me, "leave", {}, { sender })] });
      const [back, message] = [ev.member(one.me), ev.message(ALICE, "welcome back")];
      await one.deliver({ state: [...newRoom(ALICE), ev.name(ALICE, "again")], timeline: [back, message], limited: true, prev_batch: "p" });
      const told = await one.anew(NAMED);
      expect(told).toMatchObject({ initial: true, name: "again" });
      expect(timelineIds(told)).toEqual([back.event_id, message.event_id]);
      expect(timelineIds(await one.next())).toContain(message.event_id);
    }
  });

  it("M22: a room of a version that nobody knows is told like any other, beside the others (synapse #17733)", async () => {
    const client = newcomer(t, dialect, { join: { "!strange:test": room("strange", "org.example.unheard.of.77"), "!plain:test": room("plain") } });
    const answer = await client.sync(all(NAMED));
    expect(Object.fromEntries(Object.entries(answer.rooms).map(([id, { name }]) => [id, name]))).toEqual({
      "!strange:test": "strange",
      "!plain:test": "plain",
    });
    await t.deliver(client.client, { rooms: { join: { "!strange:test": { timeline: { events: [ev.name(ALICE, "stranger")] } } } } });
    expect((await client.sync(all(NAMED), { pos: answer.pos })).rooms["!strange:test"]).toMatchObject({ name: "stranger" });
  });

  it("M32: rooms that end without any event, known or not, leave a connection that works (synapse #19651)", async () => {
    const one = await follow(t, dialect, { config: NAMED, parts: { timeline: messages(1) } });
    await one.give({ leave: { [one.id]: {}, "!never-heard-of:test": {} } });
    await one.next();
    await one.give({ join: { "!another:test": room("another") } });
    await one.next();
    expect(one.answer.rooms["!another:test"]).toMatchObject({ name: "another" });
    const anew = (await one.client.sync({ ...all(NAMED), connId: "later" })).rooms;
    expect(anew["!another:test"]).toMatchObject({ name: "another" });
    expect(Object.keys(anew)).not.toContain("!never-heard-of:test");
  });

  it("M13 M22: spaces are listed and can be filtered by type, and their names come with them (tuwunel #503)", async () => {
    const space = { state: [...newRoom(ALICE, { type: "m.space" }), ev.name(ALICE, "space"), ev.spaceChild(ALICE, "!in:test")] };
    const client = newcomer(t, dialect, { join: { "!space:test": space, "!in:test": room("in") } });
    const config = { ...NAMED, state: [["m.room.create", ""] as const, ...NAMED.state] };
    const answer = await client.sync({ lists: { spaces: { ranges: [[0, 9]], ...config, filters: { room_types: ["m.space"] } } } });
    expect(Object.keys(answer.rooms)).toEqual(["!space:test"]);
    expect(answer.rooms["!space:test"]?.["required_state"]).toMatchObject([{ content: { type: "m.space" } }, { content: { name: "space" } }]);
    expect(await listed(client)).toEqual(expect.arrayContaining(["!space:test", "!in:test"]));
  });

  it("M19 M38: a subscription to a space for its children alone, timeline_limit 0, gets them, and those that come (tuwunel #561)", async () => {
    const children = { limit: 0, state: [["m.space.child", "*"] as const] };
    const one = await follow(t, dialect, { config: { limit: 1 }, state: [ev.spaceChild(ALICE, "!a:test"), ev.spaceChild(ALICE, "!b:test")] });
    expect(stateOf(await one.ask({ subs: { [one.id]: children } }))).toEqual(["m.space.child|!a:test", "m.space.child|!b:test"]);
    await one.deliver({ timeline: [ev.spaceChild(ALICE, "!c:test"), ...messages(1)] });
    expect(stateOf(await one.ask({ subs: { [one.id]: children } }))).toEqual(["m.space.child|!c:test"]);
    // An order that changes is another event of the same child.
    const moved = ev.spaceChild(ALICE, "!a:test", { via: ["test"], order: "z" });
    await one.deliver({ timeline: [moved] });
    const told = await one.ask({ subs: { [one.id]: children } });
    expect(told?.["required_state"]).toMatchObject([{ event_id: moved.event_id, content: { order: "z" } }]);
  });

  it("M15: a child whose state key is no room, and its redaction, break neither the space nor the answers (matrix-rust-sdk #6336)", async () => {
    const nonsense = [ev.spaceChild(ALICE, "not a room"), ev.spaceChild(ALICE, ""), ev.spaceChild(ALICE, "!good:test")];
    const config = { limit: 5, state: [["m.space.child", "*"] as const] };
    const one = await follow(t, dialect, { config, state: [ev.create(ALICE, { type: "m.space" }), ...nonsense] });
    expect(stateOf(one.first)).toEqual(["m.space.child|", "m.space.child|!good:test", "m.space.child|not a room"]);
    await one.give({ join: { "!good:test": room("good") } });
    await one.next();
    expect(await listed(one.client, { spaces: [one.id] })).toEqual(["!good:test"]);
    const redaction = ev.redaction(ALICE, nonsense[0]?.event_id ?? "");
    await one.deliver({ timeline: [redaction] });
    expect(timelineIds(await one.next())).toEqual([redaction.event_id]);
    expect(await listed(one.client, { spaces: [one.id] })).toEqual(["!good:test"]);
    expect(stateEvent(await one.anew(), "m.space.child", "not a room")).toMatchObject({ content: {} });
  });

  it.each([
    ["is redacted (element-web #31746)", (child: string) => ev.redaction(ALICE, child)],
    ["gets empty content (tuwunel #399)", () => ev.spaceChild(ALICE, "!child:test", {})],
    ["gets an empty via (element-web #29606)", () => ev.spaceChild(ALICE, "!child:test", { via: [] })],
  ] as const)("M15: a room whose m.space.child %s is in the space no more", async (_, end) => {
    const client = newcomer(t, dialect);
    await client.sync();
    const child = ev.spaceChild(ALICE, "!child:test");
    const space = { state: [...newRoom(ALICE, { type: "m.space" }), child] };
    await t.deliver(client.client, roomsOf({ "!space:test": space.state, "!child:test": room("child").state }));
    expect(await listed(client, { spaces: ["!space:test"] })).toEqual(["!child:test"]);
    await t.deliver(client.client, { rooms: { join: { "!space:test": { timeline: { events: [end(child.event_id)] } } } } });
    expect(await listed(client, { spaces: ["!space:test"] })).toEqual([]);
    expect(await listed(client)).toEqual(expect.arrayContaining(["!space:test", "!child:test"]));
  });

  it("M8 M38: an upgraded room and its successor are both told, whatever of the older drafts a client asks for (synapse #17540)", async () => {
    const tombstone = ev.state("m.room.tombstone", "", ALICE, { body: "moved", replacement_room: "!new:test" });
    const client = newcomer(t, dialect, {
      join: {
        "!old:test": { ...room("old"), timeline: [tombstone] },
        "!new:test": { ...room("new"), state: newRoom(ALICE, { predecessor: { room_id: "!old:test", event_id: "$x" } }) },
      },
    });
    const config = { limit: 1, state: [["m.room.tombstone", ""] as const, ["m.room.create", ""] as const] };
    const filters = { is_tombstoned: false };
    const lists = { all: { ranges: [[0, 9]] as const, ...config, filters, sort: ["by_recency"], include_old_rooms: { timeline_limit: 1 } } };
    const answer = await client.sync({ lists });
    expect(answer.rooms["!old:test"]?.["required_state"]).toContainEqual(expect.objectContaining({ event_id: tombstone.event_id }));
    expect(answer.rooms["!new:test"]?.["required_state"]).toMatchObject([{ content: { predecessor: { room_id: "!old:test" } } }]);
  });

  it("M25: the heroes of a bridged conversation are the others, never oneself, also where the homeserver says otherwise (Sable #1585)", async () => {
    const ghost = ev.member("@telegram_1:test", "join", { displayname: "Friend", avatar_url: "mxc://test/friend" });
    const names = newNames();
    const heroes = [names.me, "@bot:test", ghost.sender];
    const bot = ev.member("@bot:test", "join", { displayname: "Bridge" });
    const one = await follow(t, dialect, { names, state: [ghost, bot], parts: { summary: { "m.heroes": heroes, "m.joined_member_count": 4 } } });
    const told = one.first["heroes"] as Json[];
    expect(told.map((hero) => hero["user_id"])).toEqual(expect.arrayContaining([ghost.sender, "@bot:test"]));
    expect(told.map((hero) => hero["user_id"])).not.toContain(one.me);
    expect(told).toContainEqual({ user_id: ghost.sender, displayname: "Friend", avatar_url: "mxc://test/friend" });
  });

  it("M22 M25: rooms beyond the first window come with names or heroes as those in it (schildichat-android-next #33)", async () => {
    const rooms = Object.fromEntries(Array.from({ length: 12 }, (_, n) => [`!n${n}:test`, n % 2 === 0 ? room(`n${n}`) : withHero(`@user${n}:test`)]));
    const client = newcomer(t, dialect, { join: rooms });
    const window = (last: number) => ({ lists: { all: { ranges: [[0, last]] as const, limit: 1 } } });
    const first = await client.sync(window(2));
    const second = await client.sync(window(30), { pos: first.pos });
    const told = { ...first.rooms, ...second.rooms };
    expect(Object.keys(told)).toHaveLength(12);
    for (const [id, { name, heroes }] of Object.entries(told)) expect(name ?? heroes?.[0]?.displayname, id).toBeTruthy();
  });
});

const withHero = (user: string) => ({
  state: [...newRoom(ALICE), ev.member(user, "join", { displayname: `Named ${user}` })],
  timeline: [ev.message(ALICE)],
  summary: { "m.heroes": [user], "m.joined_member_count": 3 },
});

/** A v2 answer with joined rooms of this state. */
function roomsOf(rooms: Record<string, readonly Json[]>): Json {
  const section = (events: readonly Json[]) => ({ state: { events }, timeline: { events: [ev.message(ALICE)] } });
  return { rooms: { join: Object.fromEntries(Object.entries(rooms).map(([id, events]) => [id, section(events)])) } };
}

describe("rooms without a server in their id", () => {
  const OTHER_CREATOR = BOB;
  /** As version 12 has them: the id is the hash of the create event. */
  const HASH = "n8f893n9fsjKj_JmcaVDdAJXsQvVxKHKJgV2Jt8zWhE";
  const create = () => ({ room_version: "12", additional_creators: [OTHER_CREATOR] });

  it.each(DIALECTS)("M9 M15 M19: listed, subscribed to, children of a space, and followed (%s, openclaw #123931)", async (dialect) => {
    const names = { me: newNames().me, id: `!${dialect}${HASH.slice(dialect.length)}` };
    const one = await follow(t, dialect, { names, config: NAMED, state: [ev.create(ALICE, create()), ev.name(ALICE, "hashed")] });
    expect(one.first).toMatchObject({ name: "hashed" });
    await one.give({ join: { "!spaceless:test": { state: [...newRoom(ALICE, { type: "m.space" }), ev.spaceChild(ALICE, one.id)] } } });
    await one.next();
    expect(await listed(one.client, { spaces: ["!spaceless:test"] })).toEqual([one.id]);
    const message = ev.message(ALICE);
    await one.deliver({ timeline: [message] });
    expect(timelineIds(await one.ask({ subs: { [one.id]: NAMED } }))).toEqual([message.event_id]);
  });

  it("S4 S5: sync v3 lists it and shows it (openclaw #123931)", async () => {
    const id = `!v3${HASH.slice(2)}`;
    const client = t.login("@hashed:test", "PHONE", roomsOf({ [id]: [...newRoom(ALICE, create()), ev.member("@hashed:test")] }));
    const answer = await client.sync({ room_list: {}, room: { room_id: id }, room_members: { room_id: id } });
    expect(answer["room_list"].rooms).toMatchObject([{ room_id: id }]);
    expect(answer["room"].rooms[id].timeline.events).toHaveLength(1);
  });

  it("S3: creators are above everybody in a member list by power level, also additional ones and without a power levels event (matrix-spec #2409)", async () => {
    const id = `!creators${HASH.slice(8)}`;
    const me = "@creators:test";
    const members = [me, ALICE, OTHER_CREATOR, CAROL].map((user) => ev.member(user));
    const client = t.login(me, "PHONE", roomsOf({ [id]: [ev.create(ALICE, create()), ...members] }));
    t.hs.on("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(id)}/members`, { body: { chunk: members } });
    const order = async () => {
      const answer = await client.sync({ room_members: { room_id: id, p: { sort: "by_pl" } } });
      return (answer["room_members"].events as { state_key: string }[]).map((event) => event.state_key);
    };
    expect(await order()).toEqual([ALICE, OTHER_CREATOR, CAROL, me]);
    await t.deliver(client, roomsOf({ [id]: [ev.powerLevels(ALICE, { [CAROL]: 100 })] }));
    expect(await order()).toEqual([ALICE, OTHER_CREATOR, CAROL, me]);
    await t.deliver(client, roomsOf({ [id]: [ev.powerLevels(ALICE, { [me]: 50 })] }));
    expect(await order()).toEqual([ALICE, OTHER_CREATOR, me, CAROL]);
  });
});
