import { describe, expect, it } from "vitest";
import { ev, type Json, newRoom } from "../support/fake-homeserver.ts";
import { ALICE, all, BOB, type FollowedRoom, follow, followNothing, membersTold, messages, stateEvent } from "../support/followed-room.ts";
import { DIALECTS, type RoomAnswer, timelineIds } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const CONFIG = { limit: 5, state: [["*", "*"] as const] };

const stripped = (type: string, key: string, content: Json): Json => ({ type, state_key: key, sender: ALICE, content });
const invitation = (room: FollowedRoom, ...more: Json[]) => [
  stripped("m.room.create", "", { creator: ALICE, room_version: "10" }),
  stripped("m.room.history_visibility", "", { history_visibility: "world_readable" }),
  stripped("m.room.name", "", { name: "invited" }),
  ...more,
  stripped("m.room.member", room.me, { membership: "invite" }),
];
const knocking = (room: FollowedRoom) => [{ type: "m.room.member", state_key: room.me, sender: room.me, content: { membership: "knock" } }];
const left = (room: FollowedRoom, sender = room.me) =>
  ev.member(room.me, "leave", {}, { sender, unsigned: { prev_content: { membership: "invite" } } });

/** Ignores what v4 adds to every entry. */
const fields = (room: RoomAnswer | undefined) =>
  Object.keys(room ?? {})
    .filter((key) => key !== "membership" && key !== "lists")
    .toSorted();
describe.each(DIALECTS)("invites and knocks", (dialect) => {
  const isV4 = dialect === "v4";
  const ONLY_STRIPPED = isV4 ? ["bump_stamp", "invite_state"] : ["bump_stamp", "initial", "invite_state"];

  it("M31: an invite is sent as its stripped state at first, and nothing else", async () => {
    const room = await followNothing(t, dialect, CONFIG);
    const state = invitation(room);
    await room.give({ invite: { [room.id]: state } });
    const told = await room.anew();
    expect(fields(told)).toEqual(ONLY_STRIPPED);
    expect(told?.["invite_state"]).toEqual(state);
  });

  it("M31: an invite that comes ends a wait, and is sent once", async () => {
    const room = await followNothing(t, dialect, CONFIG);
    const waiting = room.next(undefined, { timeout: 30_000 });
    await room.give({ invite: { [room.id]: invitation(room) } });
    const told = await waiting;
    expect(fields(told)).toEqual(ONLY_STRIPPED);
    expect(stateOfInvite(told)).toEqual({ membership: "invite" });
    expect(await room.next()).toBeUndefined();
    expect(await room.next({ ...CONFIG, limit: 50 })).toBeUndefined();
  });

  const stateOfInvite = (told: RoomAnswer | undefined) =>
    ((told?.["invite_state"] ?? []) as { type: string; content: Json }[]).find((event) => event.type === "m.room.member")?.content;

  it("M31: a subscription to an invite has no more of it", async () => {
    const room = await followNothing(t, dialect, CONFIG);
    await room.give({ invite: { [room.id]: invitation(room) } });
    expect(fields(await room.ask({ subs: { [room.id]: CONFIG } }))).toEqual(ONLY_STRIPPED);
  });

  it("M31: a knock the same", async () => {
    const room = await followNothing(t, dialect, CONFIG);
    await room.give({ knock: { [room.id]: knocking(room) } });
    const told = await room.next();
    expect(fields(told)).toEqual(ONLY_STRIPPED);
    expect(stateOfInvite(told)).toEqual({ membership: "knock" });
  });

  it("M31: an invite without any stripped state is sent as well", async () => {
    const room = await followNothing(t, dialect, CONFIG);
    await room.give({ invite: { [room.id]: [] } });
    expect(await room.next()).toMatchObject({ invite_state: [] });
  });

  it("M31: a knock that is answered with an invite, and an invite whose state changes", async () => {
    const room = await followNothing(t, dialect, CONFIG);
    await room.give({ knock: { [room.id]: knocking(room) } });
    await room.next();
    await room.give({ invite: { [room.id]: invitation(room) } });
    expect(stateOfInvite(await room.next())).toEqual({ membership: "invite" });
    await room.give({ invite: { [room.id]: invitation(room, stripped("m.room.topic", "", { topic: "new" })) } });
    expect((await room.next())?.["invite_state"]).toHaveLength(5);
  });

  it("M31 M33: one that is accepted is an initial room, without stripped state then and later", async () => {
    const room = await followNothing(t, dialect, CONFIG);
    await room.give({ invite: { [room.id]: invitation(room) } });
    await room.next();
    const [joined, message] = [ev.member(room.me), ev.message(ALICE)];
    await room.deliver({ state: newRoom(ALICE), timeline: [joined, message] });
    const accepted = await room.next();
    expect(accepted).toMatchObject({ initial: true, joined_count: 2 });
    expect(accepted).not.toHaveProperty("invite_state");
    expect(timelineIds(accepted)).toEqual([joined.event_id, message.event_id]);
    expect(stateEvent(accepted, "m.room.create")).toBeDefined();
    await room.deliver({ timeline: messages(1) });
    expect(await room.next()).not.toHaveProperty("invite_state");
    expect(await room.anew()).not.toHaveProperty("invite_state");
  });

  it("M31: accepted between two requests it was never an invite", async () => {
    const room = await followNothing(t, dialect, CONFIG);
    await room.give({ invite: { [room.id]: invitation(room) } });
    await room.deliver({ state: newRoom(ALICE), timeline: [ev.member(room.me)] });
    const told = await room.next();
    expect(told).toMatchObject({ initial: true });
    expect(told).not.toHaveProperty("invite_state");
  });

  /** The end of an invite: the user's membership in the way of the dialect, and nothing else of the room. */
  function expectEnd(told: RoomAnswer | undefined): void {
    expect(told).toBeDefined();
    expect(told).not.toHaveProperty("unstable_expanded_timeline");
    for (const field of ["name", "avatar", "heroes", "joined_count", "invited_count"]) expect(told).not.toHaveProperty(field);
    if (isV4) {
      expect(fields(told)).toEqual(ONLY_STRIPPED);
      expect(stateOfInvite(told)).toEqual({ membership: "leave" });
    } else {
      expect(told).not.toHaveProperty("invite_state");
      expect(told?.["required_state"]).toMatchObject([{ type: "m.room.member", content: { membership: "leave" } }]);
    }
  }

  it("M31: a rejected invite ends with the user's leave, once", async () => {
    const room = await followNothing(t, dialect, CONFIG);
    await room.give({ invite: { [room.id]: invitation(room) } });
    await room.next();
    await room.leave({ timeline: [left(room)] });
    expectEnd(await room.next());
    expect(await room.next()).toBeUndefined();
    expect(await room.anew()).toBeUndefined();
  });

  it("M31: rejected, and the homeserver does not say how", async () => {
    const room = await followNothing(t, dialect, { limit: 5 });
    await room.give({ invite: { [room.id]: invitation(room) } });
    await room.next();
    await room.leave();
    expectEnd(await room.next());
    expect(await room.next()).toBeUndefined();
  });

  it("M31: a withdrawn invite ends in the same way", async () => {
    const room = await followNothing(t, dialect, CONFIG);
    await room.give({ invite: { [room.id]: invitation(room) } });
    await room.next();
    await room.leave({ timeline: [left(room, ALICE)] });
    expectEnd(await room.next());
    expect(await room.next()).toBeUndefined();
  });

  it("M31: invited, rejected and invited again (the second is sent), also where the first was never seen", async () => {
    const room = await followNothing(t, dialect, CONFIG);
    for (const seen of [true, false]) {
      await room.give({ invite: { [room.id]: invitation(room) } });
      if (seen) await room.next();
      await room.leave({ timeline: [left(room)] });
      if (seen) await room.next();
      await room.give({ invite: { [room.id]: invitation(room, stripped("m.room.topic", "", { topic: String(seen) })) } });
      expect(stateOfInvite(await room.next())).toEqual({ membership: "invite" });
      await room.leave({ timeline: [left(room)] });
      expectEnd(await room.next());
    }
  });

  it("M31 M32: invited again to a room that was left, and rejected", async () => {
    const room = await follow(t, dialect, { config: CONFIG, parts: { timeline: messages(2) } });
    await room.leave({ timeline: [ev.member(room.me, "leave")] });
    await room.next();
    await room.give({ invite: { [room.id]: invitation(room) } });
    expect(fields(await room.next())).toEqual(["bump_stamp", "invite_state"]);
    const again = left(room);
    await room.leave({ timeline: [again] });
    const ended = await room.next();
    expect(ended).not.toHaveProperty("invite_state");
    expect(stateEvent(ended, "m.room.member", room.me)).toMatchObject({ event_id: again.event_id });
    expect(timelineIds(ended).at(-1)).toBe(again.event_id);
    expect(await room.next()).toBeUndefined();
  });

  it("M31: rejected and joined later, it is initial with all of it", async () => {
    const room = await followNothing(t, dialect, CONFIG);
    await room.give({ invite: { [room.id]: invitation(room) } });
    await room.next();
    await room.leave({ timeline: [left(room)] });
    await room.next();
    await room.deliver({ state: newRoom(ALICE), timeline: [...messages(1), ev.member(room.me), ev.member(BOB)] });
    serveMembers(room);
    const told = await room.next();
    expect(told).toMatchObject({ initial: true, num_live: 2 });
    expect(membersTold(told)).toContain(`${room.me}: join`);
    expect(await room.ask(all({ limit: 5 }))).toBeUndefined();
  });

  const serveMembers = (room: FollowedRoom) => {
    const chunk = [ev.member(room.me), ev.member(ALICE), ev.member(BOB)];
    t.hs.on("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room.id)}/members`, { body: { chunk } });
  };
});
