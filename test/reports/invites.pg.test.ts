/** Situations that people reported of other servers and clients: invites, knocks, and rooms that end. docs/RELIABILITY.md lists all. */

import { describe, expect, it } from "vitest";
import { ev, type Json, newRoom, v2 } from "../support/fake-homeserver.ts";
import { ALICE, BOB, type FollowedRoom, follow, followNothing, membersTold, messages } from "../support/followed-room.ts";
import { listed, newcomer, stripped } from "../support/listed.ts";
import { DIALECTS, type RoomAnswer } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const CONFIG = { limit: 5, state: [["*", "*"] as const] };
const LAZY = [["m.room.member", "$LAZY"] as const, ["m.room.member", "$ME"] as const];
const ignoring = (...users: string[]) => ({
  type: "m.ignored_user_list",
  content: { ignored_users: Object.fromEntries(users.map((user) => [user, {}])) },
});
const declined = (room: FollowedRoom) => ({ timeline: [ev.member(room.me, "leave", {}, { unsigned: { prev_content: { membership: "invite" } } })] });
const membershipIn = (told: RoomAnswer | undefined, user: string) =>
  ((told?.["invite_state"] ?? []) as Json[]).find((event) => event["type"] === "m.room.member" && event["state_key"] === user)?.["content"];

describe.each(DIALECTS)("invites (%s)", (dialect) => {
  it("M18: invited, declined, ignored, and invited again by who is ignored: nothing is told, and other rooms go on (synapse #18209)", async () => {
    const room = await followNothing(t, dialect, CONFIG);
    await room.give({ invite: { [room.id]: stripped(room.me, BOB) } });
    expect(membershipIn(await room.next(), room.me)).toEqual({ membership: "invite" });
    await room.give({ leave: { [room.id]: declined(room) } });
    await room.next();
    await room.give({ account_data: [ignoring(BOB)] });
    await room.next();
    await room.give({ invite: { [room.id]: stripped(room.me, BOB), "!other:test": stripped(room.me, ALICE) } });
    await room.next();
    expect(Object.keys(room.answer.rooms)).toEqual(["!other:test"]);
    expect(await listed(room.client)).not.toContain(room.id);
  });

  it("M31 M33: kicked or gone, invited again, and back: told as an invite, then as a room in full (matrix-rust-sdk #6126)", async () => {
    for (const sender of [ALICE, "me"]) {
      const room = await follow(t, dialect, { config: { limit: 5, state: LAZY }, parts: { timeline: messages(1) } });
      await room.leave({ timeline: [ev.member(room.me, "leave", {}, { sender: sender === "me" ? room.me : sender })] });
      expect(membersTold(await room.next())).toContain(`${room.me}: leave`);
      await room.give({ invite: { [room.id]: stripped(room.me, ALICE) } });
      const invite = await room.next();
      expect(membershipIn(invite, room.me)).toEqual({ membership: "invite" });
      expect(invite).not.toHaveProperty("timeline");
      await room.deliver({ state: newRoom(ALICE), timeline: [ev.member(room.me), ev.message(ALICE)], limited: true, prev_batch: "p" });
      const back = await room.next();
      expect(back).toMatchObject({ initial: true });
      expect(back).not.toHaveProperty("invite_state");
      expect(membersTold(back)).toEqual([`${ALICE}: join`, `${room.me}: join`].toSorted());
    }
  });

  it("M31: whatever is asked anew of an invite or a knock, each answer that has it says that it is one (matrix-rust-sdk #6956)", async () => {
    const room = await followNothing(t, dialect, { limit: 1 });
    const knock = { type: "m.room.member", state_key: room.me, sender: room.me, content: { membership: "knock" } };
    await room.give({ invite: { [room.id]: stripped(room.me, ALICE) }, knock: { "!knock:test": [knock] } });
    const said: RoomAnswer[] = [];
    const ask = async (request: Parameters<typeof room.ask>[0]) => {
      await room.ask(request);
      said.push(...Object.values(room.answer.rooms));
    };
    await ask({ lists: { all: { ranges: [[0, 0]], limit: 1 } } });
    await ask({ lists: { all: { ranges: [[0, 9]], limit: 20, state: CONFIG.state } } });
    await ask({ subs: { [room.id]: CONFIG, "!knock:test": CONFIG } });
    await room.give({ account_data: [{ type: "m.direct", content: { [ALICE]: [room.id] } }] });
    await room.give({ join: { "!more:test": { state: newRoom(ALICE) } } });
    await ask({ subs: { [room.id]: { ...CONFIG, limit: 50 } }, ext: { account_data: { enabled: true }, receipts: { enabled: true } } });
    expect(said.length).toBeGreaterThanOrEqual(2);
    for (const told of said) {
      expect(told["invite_state"]).toBeDefined();
      expect(told).not.toHaveProperty("timeline");
    }
  });

  it("M31 M13: an invite of version 12: the create event comes as a complete event, and a space is known as one (spec-proposals #4311)", async () => {
    const id = `!${dialect}invitedbyhashofthecreateevent`;
    const create = (type?: string) =>
      ev.create(ALICE, { room_version: "12", ...(type && { type }) }, { room_id: id, auth_events: [], prev_events: [] });
    const client = newcomer(t, dialect, (me) => ({ invite: { [id]: [create("m.space"), ...stripped(me, ALICE)] } }));
    const answer = await client.sync({ lists: { spaces: { ranges: [[0, 9]], ...CONFIG, filters: { room_types: ["m.space"], is_invite: true } } } });
    const state = answer.rooms[id]?.["invite_state"] as Json[];
    expect(state.map((event) => event["type"])).toEqual(["m.room.create", "m.room.member"]);
    expect(state[0]).toMatchObject({ content: { room_version: "12", type: "m.space" } });
    expect(membershipIn(answer.rooms[id], client.client.userId)).toEqual({ membership: "invite" });
  });

  describe("the user's own member event in `state` (spec-proposals #4319)", () => {
    /** An answer as MSC4319 has it: only the room's own events are stripped state, the user's own membership is told beside them. */
    const beside = (section: "invite" | "knock", id: string, own: Json, name = "state"): Json => ({
      rooms: { [section]: { [id]: { [`${section}_state`]: { events: [ev.name(ALICE, "asked in")] }, [name]: { events: [own] } } } },
    });
    const own = (me: string, extra: Json = {}, sender = ALICE) => ev.member(me, "invite", extra, { sender });

    it.each(["state", "org.matrix.msc4319.state"])("M31 M29: is told in the stripped state, and says who invited to what (%s)", async (name) => {
      const room = await followNothing(t, dialect, CONFIG);
      await t.deliver(room.client.client, beside("invite", room.id, own(room.me, { is_direct: true }), name));
      const told = await room.next();
      expect(membershipIn(told, room.me)).toEqual({ membership: "invite", is_direct: true });
      expect(told).toMatchObject({ invite_state: [{ type: "m.room.name" }, { type: "m.room.member" }] });
      expect(await listed(room.client, { is_dm: true })).toEqual([room.id]);
    });

    it("M18: is that of somebody whom the user ignores", async () => {
      const room = await followNothing(t, dialect, CONFIG, { account_data: [ignoring(BOB)] });
      await t.deliver(room.client.client, beside("invite", room.id, own(room.me, {}, BOB)));
      expect(await room.next()).toBeUndefined();
    });

    it("M31: tells a knock from an invite", async () => {
      const room = await followNothing(t, dialect, CONFIG);
      await t.deliver(room.client.client, beside("knock", room.id, ev.member(room.me, "knock")));
      expect(membershipIn(await room.next(), room.me)).toEqual({ membership: "knock" });
    });

    it("M31: is told once where both have it, the complete one", async () => {
      const room = await followNothing(t, dialect, CONFIG);
      const both = beside("invite", room.id, own(room.me));
      await t.deliver(room.client.client, withStripped(both, room.id, stripped(room.me, ALICE)));
      expect((await room.next())?.["invite_state"]).toMatchObject([{ type: "m.room.member", event_id: expect.any(String) }]);
    });
  });
});

const withStripped = (answer: Json, id: string, events: Json[]): Json => {
  const section = (answer as { rooms: { invite: Record<string, Json> } }).rooms.invite[id];
  return { rooms: { invite: { [id]: { ...section, invite_state: { events } } } } };
};

describe("sync v3", () => {
  it("invites: the user's own member event in `state` is in the stripped state (spec-proposals #4319)", async () => {
    const client = t.login("@invited-v3:test", "PHONE", v2());
    const first = await client.sync({ invites: {} });
    const own = ev.member(client.userId, "invite", {}, { sender: ALICE });
    const section = { invite_state: { events: [] }, state: { events: [own] } };
    await t.deliver(client, { rooms: { invite: { "!v3:test": section } } });
    const { invites } = await client.sync({}, { since: first.next });
    expect(invites.rooms["!v3:test"].invite_state.events).toMatchObject([{ type: "m.room.member", sender: ALICE, state_key: client.userId }]);
  });
});
