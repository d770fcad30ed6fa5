import { describe, expect, it } from "vitest";
import { ev, type Json, newRoom, type RoomParts, v2, type V2Parts } from "../support/fake-homeserver.ts";
import { listed, newcomer, stripped } from "../support/listed.ts";
import { DIALECTS, type SlidingClient } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const ALICE = "@alice:test";

const t = v3Server();

const room = (create: Json = {}, state: Json[] = [], more: RoomParts = {}): RoomParts => ({
  state: [...newRoom(ALICE, create), ...state],
  timeline: [ev.message(ALICE)],
  ...more,
});
const tagged = (...tags: string[]) => [{ type: "m.tag", content: { tags: Object.fromEntries(tags.map((tag) => [tag, {}])) } }];
const direct = (...rooms: string[]) => ({ type: "m.direct", content: { [ALICE]: rooms } });
const create = (content: Json = {}) => ({ type: "m.room.create", state_key: "", sender: ALICE, content });
const encryption = { type: "m.room.encryption", state_key: "", sender: ALICE, content: { algorithm: "m.megolm.v1.aes-sha2" } };
const deliver = (client: SlidingClient, parts: V2Parts) => t.deliver(client.client, v2(parts));
/** Names of the rooms that match, without what all ids have in common. */
const matching = async (client: SlidingClient, filters: Json) => (await listed(client, filters)).map((id) => id.slice(1, -5)).toSorted();

describe.each(DIALECTS)("%s: filters", (dialect) => {
  const user = (first: V2Parts | ((me: string) => V2Parts)) => newcomer(t, dialect, first);
  const kick = (client: SlidingClient, roomId: string) =>
    deliver(client, { leave: { [roomId]: { timeline: [ev.member(client.client.userId, "leave", {}, { sender: ALICE })] } } });

  it("M12: is_dm, by m.direct as it is now", async () => {
    const client = user({ join: { "!dm:test": room(), "!group:test": room() }, account_data: [direct("!dm:test", "!unknown:test")] });
    expect(await matching(client, { is_dm: true })).toEqual(["dm"]);
    expect(await matching(client, { is_dm: false })).toEqual(["group"]);
    await deliver(client, { account_data: [direct("!group:test")] });
    expect(await matching(client, { is_dm: true })).toEqual(["group"]);
  });

  it("M12: is_encrypted, also of a room that becomes encrypted, and of one that the user is no longer in", async () => {
    const client = user({
      join: { "!enc:test": room({}, [ev.encryption(ALICE)]), "!plain:test": room(), "!gone:test": room({}, [ev.encryption(ALICE)]) },
    });
    expect(await matching(client, { is_encrypted: true })).toEqual(["enc", "gone"]);
    expect(await matching(client, { is_encrypted: false })).toEqual(["plain"]);
    await deliver(client, { join: { "!plain:test": { timeline: [ev.encryption(ALICE)] } } });
    await kick(client, "!gone:test");
    expect(await matching(client, { is_encrypted: true })).toEqual(["enc", "gone", "plain"]);
    expect(await matching(client, { is_encrypted: false })).toEqual([]);
  });

  it("M12: is_encrypted and is_dm of a room that the user leaves: the leave is sent to lists that it matched", async () => {
    const client = user({ join: { "!enc:test": room({}, [ev.encryption(ALICE)]), "!b:test": room() } });
    const ask = { lists: { enc: { ranges: [[0, 9]] as const, limit: 1, filters: { is_encrypted: true } } } };
    const first = await client.sync(ask);
    await deliver(client, { leave: { "!enc:test": { timeline: [ev.member(client.client.userId, "leave")] } } });
    const second = await client.sync(ask, { pos: first.pos });
    expect([second.lists["enc"]?.count, Object.keys(second.rooms)]).toEqual([1, ["!enc:test"]]);
    expect((await client.sync(ask, { pos: second.pos })).lists["enc"]?.count).toBe(0);
  });

  it("M12: is_invite: invites alone; false is all but invites, rooms one was kicked from and knocks too", async () => {
    const client = user((me) => ({
      join: { "!join:test": room(), "!kick:test": room() },
      invite: { "!invite:test": stripped(me, ALICE) },
      knock: { "!knock:test": [{ type: "m.room.member", state_key: me, sender: me, content: { membership: "knock" } }] },
    }));
    await client.sync();
    await kick(client, "!kick:test");
    expect(await matching(client, { is_invite: true })).toEqual(["invite"]);
    expect(await matching(client, { is_invite: false })).toEqual(["join", "kick", "knock"]);
    await deliver(client, { join: { "!invite:test": { ...room(), limited: true } } });
    expect(await matching(client, { is_invite: true })).toEqual([]);
  });

  it("M12: all filters of a list must match; a room in several lists is sent once, each list counts it", async () => {
    const client = user((me) => ({
      join: {
        "!both:test": room({}, [ev.encryption(ALICE)]),
        "!dm:test": room(),
        "!enc:test": room({}, [ev.encryption(ALICE)]),
        "!none:test": room(),
      },
      invite: { "!invite:test": stripped(me, ALICE) },
      account_data: [direct("!both:test", "!dm:test")],
    }));
    const list = (filters: Json) => ({ ranges: [[0, 9]] as const, limit: 1, filters });
    const lists = {
      dms: list({ is_dm: true }),
      secret: list({ is_encrypted: true, is_dm: true }),
      enc: list({ is_encrypted: true }),
      invites: list({ is_invite: true }),
      all: list({}),
    };
    const answer = await client.sync({ lists });
    expect(Object.fromEntries(Object.entries(answer.lists).map(([name, { count }]) => [name, count]))).toEqual({
      dms: 2,
      secret: 1,
      enc: 2,
      invites: 1,
      all: 5,
    });
    expect(Object.keys(answer.rooms)).toHaveLength(5);
    // A list with a name but without rooms has a count of 0.
    expect((await client.sync({ lists: { odd: list({ is_dm: true, is_invite: true }) } })).lists["odd"]?.count).toBe(0);
  });

  const TYPED = { "!space:test": room({ type: "m.space" }), "!odd:test": room({ type: "org.odd" }), "!normal:test": room() };

  it("M13: room_types and not_room_types; null is no type; `not_` wins; several are joined by or; none match nothing", async () => {
    const client = user({ join: TYPED });
    expect(await matching(client, { room_types: ["m.space"] })).toEqual(["space"]);
    expect(await matching(client, { room_types: [null] })).toEqual(["normal"]);
    expect(await matching(client, { room_types: [null, "m.space"] })).toEqual(["normal", "space"]);
    expect(await matching(client, { room_types: [] })).toEqual([]);
    expect(await matching(client, { not_room_types: ["m.space"] })).toEqual(["normal", "odd"]);
    expect(await matching(client, { not_room_types: [null] })).toEqual(["odd", "space"]);
    expect(await matching(client, { not_room_types: [null, "m.space"] })).toEqual(["odd"]);
    expect(await matching(client, { not_room_types: [] })).toEqual(["normal", "odd", "space"]);
    expect(await matching(client, { room_types: ["m.space", "org.odd"], not_room_types: ["m.space"] })).toEqual(["odd"]);
    expect(await matching(client, { room_types: [null], not_room_types: [null] })).toEqual([]);
  });

  it("M13: of rooms that the user was kicked from or has just left as well", async () => {
    const client = user({ join: { ...TYPED, "!left:test": room({ type: "m.space" }) } });
    const ask = { lists: { spaces: { ranges: [[0, 9]] as const, limit: 1, filters: { room_types: ["m.space"] } } } };
    const first = await client.sync(ask);
    expect(first.lists["spaces"]?.count).toBe(2);
    await kick(client, "!space:test");
    await deliver(client, { leave: { "!left:test": { timeline: [ev.member(client.client.userId, "leave")] } } });
    expect((await client.sync(ask, { pos: first.pos })).lists["spaces"]?.count).toBe(2);
    expect(await matching(client, { room_types: ["m.space"] })).toEqual(["space"]);
    expect(await matching(client, { not_room_types: ["m.space"] })).toEqual(["normal", "odd"]);
  });

  it("M14: tags and not_tags: any of them; `not_` wins; as they are now", async () => {
    const client = user({
      join: {
        "!fav:test": room({}, [], { account_data: tagged("m.favourite") }),
        "!both:test": room({}, [], { account_data: tagged("m.favourite", "u.x") }),
        "!x:test": room({}, [], { account_data: tagged("u.x") }),
        "!none:test": room(),
      },
    });
    expect(await matching(client, { tags: ["m.favourite"] })).toEqual(["both", "fav"]);
    expect(await matching(client, { tags: ["m.favourite", "u.x"] })).toEqual(["both", "fav", "x"]);
    expect(await matching(client, { tags: ["u.unknown"] })).toEqual([]);
    expect(await matching(client, { tags: [] })).toEqual([]);
    expect(await matching(client, { not_tags: ["m.favourite"] })).toEqual(["none", "x"]);
    expect(await matching(client, { tags: ["m.favourite"], not_tags: ["u.x"] })).toEqual(["fav"]);
    expect(await matching(client, { tags: ["constructor"] })).toEqual([]);
    await deliver(client, { join: { "!none:test": { account_data: tagged("m.favourite") }, "!fav:test": { account_data: tagged() } } });
    expect(await matching(client, { tags: ["m.favourite"] })).toEqual(["both", "none"]);
  });

  it("M15: direct children of joined spaces, of any of them; others are ignored", async () => {
    const child = (id: string, content?: Json) => ev.spaceChild(ALICE, id, content);
    const client = user((me) => ({
      join: {
        "!space:test": room({ type: "m.space" }, [
          child("!a:test"),
          child("!sub:test"),
          child("!foreign:test"),
          child("!b:test", {}),
          child("!i:test"),
        ]),
        "!sub:test": room({ type: "m.space" }, [child("!b:test")]),
        "!a:test": room(),
        "!b:test": room(),
        "!c:test": room(),
      },
      invite: { "!i:test": stripped(me, ALICE), "!s2:test": [...stripped(me, ALICE), create({ type: "m.space" })] },
    }));
    expect(await matching(client, { spaces: ["!space:test"] })).toEqual(["a", "i", "sub"]);
    expect(await matching(client, { spaces: ["!sub:test", "!unknown:test"] })).toEqual(["b"]);
    expect(await matching(client, { spaces: ["!sub:test", "!space:test"] })).toEqual(["a", "b", "i", "sub"]);
    expect(await matching(client, { spaces: ["!space:test"], is_invite: true })).toEqual(["i"]);
    for (const spaces of [[], ["!unknown:test"], ["!s2:test"], ["!c:test"]]) expect(await matching(client, { spaces })).toEqual([]);
    await deliver(client, { join: { "!space:test": { timeline: [child("!c:test"), child("!a:test", {})] } } });
    expect(await matching(client, { spaces: ["!space:test"] })).toEqual(["c", "i", "sub"]);
    await kick(client, "!space:test");
    expect(await matching(client, { spaces: ["!space:test"] })).toEqual([]);
  });

  it("M17: an invite that says its type and whether it is encrypted is filtered by that", async () => {
    const client = user((me) => ({
      invite: {
        "!space:test": [...stripped(me, ALICE), create({ type: "m.space" })],
        "!enc:test": [...stripped(me, ALICE), create(), encryption],
        "!plain:test": [...stripped(me, ALICE), create()],
      },
    }));
    expect(await matching(client, { is_encrypted: true })).toEqual(["enc"]);
    expect(await matching(client, { is_encrypted: false })).toEqual(["plain", "space"]);
    expect(await matching(client, { room_types: ["m.space"] })).toEqual(["space"]);
    expect(await matching(client, { room_types: [null] })).toEqual(["enc", "plain"]);
    expect(await matching(client, { not_room_types: ["m.space"] })).toEqual(["enc", "plain"]);
    expect(await matching(client, { not_room_types: [null] })).toEqual(["space"]);
  });

  it("M17: an invite that does not say matches no explicit value until it does", async () => {
    const client = user((me) => ({ join: { "!a:test": room() }, invite: { "!i:test": stripped(me, ALICE) } }));
    const filters = [
      { is_encrypted: true },
      { is_encrypted: false },
      { room_types: [null] },
      { room_types: ["m.space"] },
      { not_room_types: ["m.space"] },
      { not_room_types: [null] },
    ];
    for (const filter of filters) expect(await matching(client, filter)).not.toContain("i");
    expect(await matching(client, { is_invite: true })).toEqual(["i"]);
    await deliver(client, { invite: { "!i:test": [...stripped(client.client.userId, ALICE), create({ type: "m.space" }), encryption] } });
    const told: boolean[] = [];
    for (const filter of filters) told.push((await matching(client, filter)).includes("i"));
    expect(told).toEqual([true, false, false, true, false, true]);
    // Once the room is joined, its own state decides.
    await deliver(client, { join: { "!i:test": { ...room(), limited: true, prev_batch: "p" } } });
    expect(await matching(client, { is_encrypted: false, room_types: [null] })).toEqual(["a", "i"]);
  });

  it("M17: nor does it once m.direct names it, or when it is withdrawn", async () => {
    const client = user((me) => ({ invite: { "!i:test": stripped(me, ALICE) } }));
    const filters = [{ is_encrypted: false }, { room_types: [null] }, { not_room_types: ["m.space"] }];
    await client.sync();
    await deliver(client, { account_data: [direct("!i:test")] });
    expect(await matching(client, { is_dm: true })).toEqual(["i"]);
    for (const filter of filters) expect(await matching(client, filter)).toEqual([]);
    await kick(client, "!i:test");
    expect(await matching(client, {})).toEqual(["i"]);
    for (const filter of filters) expect(await matching(client, filter)).toEqual([]);
  });

  it("M12: an invite to a room that was left before is a DM where m.direct says so", async () => {
    const client = user({ join: { "!a:test": room() }, account_data: [direct("!a:test")] });
    await client.sync();
    await deliver(client, { leave: { "!a:test": { timeline: [ev.member(client.client.userId, "leave")] } } });
    await deliver(client, { invite: { "!a:test": stripped(client.client.userId, ALICE) } });
    expect(await matching(client, { is_dm: true })).toEqual(["a"]);
    await deliver(client, { join: { "!a:test": { ...room(), limited: true, prev_batch: "p" } } });
    expect(await matching(client, { is_dm: true })).toEqual(["a"]);
  });

  it("M12: a room that begins to match enters the list's window in full; one that stops matching is sent no more", async () => {
    const client = user({ join: { "!a:test": room(), "!b:test": room({}, [ev.encryption(ALICE)]) } });
    const ask = { lists: { dms: { ranges: [[0, 9]] as const, limit: 1, filters: { is_dm: true } } } };
    const first = await client.sync(ask);
    expect(first.rooms).toEqual({});
    await deliver(client, { account_data: [direct("!a:test")] });
    const second = await client.sync(ask, { pos: first.pos });
    expect(second.rooms).toMatchObject({ "!a:test": { initial: true, is_dm: true } });
    await deliver(client, { account_data: [direct()], join: { "!a:test": { timeline: [ev.message(ALICE)] } } });
    expect(await client.sync(ask, { pos: second.pos })).toMatchObject({ lists: { dms: { count: 0 } }, rooms: {} });
  });
});

describe("the unstable dialect's own filter", () => {
  it("M16: room_name_like: case-insensitive, in the name that is shown: as set, alias, heroes", async () => {
    const heroes = { summary: { "m.heroes": ["@bob:test"], "m.joined_member_count": 2 } };
    const client = newcomer(t, "unstable", (me) => ({
      join: {
        "!set:test": room({}, [ev.name(ALICE, "Kaffeeküche")]),
        "!alias:test": room({}, [ev.state("m.room.canonical_alias", "", ALICE, { alias: "#coffee:test" })]),
        "!heroes:test": room({}, [ev.member("@bob:test", "join", { displayname: "Bob Coffee" })], heroes),
        "!other:test": room({}, [ev.name(ALICE, "100%_tea")]),
      },
      invite: { "!invite:test": [...stripped(me, ALICE), { type: "m.room.name", state_key: "", sender: ALICE, content: { name: "Coffee?" } }] },
    }));
    expect(await matching(client, { room_name_like: "coffee" })).toEqual(["alias", "heroes", "invite"]);
    expect(await matching(client, { room_name_like: "KÜCHE" })).toEqual(["set"]);
    expect(await matching(client, { room_name_like: "%_" })).toEqual(["other"]);
    expect(await matching(client, { room_name_like: "" })).toHaveLength(5);
    expect(await matching(client, { room_name_like: "coffee", is_invite: false })).toEqual(["alias", "heroes"]);
    await deliver(client, { join: { "!other:test": { timeline: [ev.name(ALICE, "coffee")] } } });
    expect(await matching(client, { room_name_like: "coffee" })).toEqual(["alias", "heroes", "invite", "other"]);
  });

  it("M16: v4 has no such filter, and ignores it", async () => {
    const client = newcomer(t, "v4", { join: { "!a:test": room({}, [ev.name(ALICE, "A")]) } });
    expect(await matching(client, { room_name_like: "nothing" })).toEqual(["a"]);
  });
});
