import { describe, expect, it } from "vitest";
import { ev } from "../support/fake-homeserver.ts";
import { ALICE, BOB, CAROL, follow } from "../support/followed-room.ts";
import { DIALECTS, type RoomAnswer } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const heroes = (room: RoomAnswer | undefined) => (room?.["heroes"] as { user_id: string }[] | undefined)?.map((hero) => hero.user_id);
const invited = (user: string) => ev.member(user, "invite", {}, { sender: ALICE });

describe.each(DIALECTS)("heroes", (dialect) => {
  it("M25: a room without a name has them, with their display names", async () => {
    const room = await follow(t, dialect, {
      state: [ev.member(BOB, "join", { displayname: "Bob", avatar_url: "mxc://test/bob" })],
      parts: { summary: { "m.heroes": [BOB, ALICE] } },
    });
    expect(room.first["heroes"]).toEqual([{ user_id: BOB, displayname: "Bob", avatar_url: "mxc://test/bob" }, { user_id: ALICE }]);
    await room.deliver({ timeline: [ev.message(ALICE)] });
    expect(await room.next()).not.toHaveProperty("heroes");
  });

  it("M25: a room with a name has none; an empty name counts as none", async () => {
    const named = await follow(t, dialect, { state: [ev.name(ALICE, "named")], parts: { summary: { "m.heroes": [ALICE] } } });
    expect(named.first).not.toHaveProperty("heroes");
    const empty = await follow(t, dialect, { state: [ev.name(ALICE, "")], parts: { summary: { "m.heroes": [ALICE] } } });
    expect(heroes(empty.first)).toEqual([ALICE]);
    expect(empty.first).not.toHaveProperty("name");
  });

  it("M25: they are sent when the name is removed", async () => {
    const room = await follow(t, dialect, { state: [ev.name(ALICE, "named")], parts: { summary: { "m.heroes": [ALICE] } } });
    await room.deliver({ timeline: [ev.name(ALICE, "")] });
    expect(heroes(await room.next())).toEqual([ALICE]);
  });

  it("M25: never the user, even if the homeserver names him", async () => {
    const names = { me: "@a-me:test", id: `!heroes-${dialect}:test` };
    const me = `@a-${dialect}:test`;
    const room = await follow(t, dialect, { names: { ...names, me }, parts: { summary: { "m.heroes": [me, ALICE] } } });
    expect(heroes(room.first)).toEqual([ALICE]);
    const untold = await follow(t, dialect, { names: { id: `!heroes-untold-${dialect}:test`, me: `@b-${dialect}:test` } });
    expect(heroes(untold.first)).toEqual([ALICE]);
  });

  it("M25: at most five, joined ones before invited ones", async () => {
    const joined = ["@c:test", "@d:test", "@e:test"];
    const room = await follow(t, dialect, {
      state: [invited("@a:test"), invited("@b:test"), invited("@f:test"), ...joined.map((user) => ev.member(user))],
    });
    expect(heroes(room.first)).toEqual([ALICE, ...joined, "@a:test"]);
  });

  it("M25: joined ones before invited ones before those who left, in whatever order the homeserver names them", async () => {
    const room = await follow(t, dialect, {
      state: [ev.member(BOB, "leave"), invited(CAROL)],
      parts: { summary: { "m.heroes": [BOB, CAROL, ALICE] } },
    });
    expect(heroes(room.first)).toEqual([ALICE, CAROL, BOB]);
  });

  it("M25: sent again when their members have changed", async () => {
    const room = await follow(t, dialect, { parts: { summary: { "m.heroes": [ALICE] } } });
    await room.deliver({ timeline: [ev.member(BOB)], summary: { "m.heroes": [ALICE, BOB], "m.joined_member_count": 3 } });
    expect(heroes(await room.next())).toEqual([ALICE, BOB]);
    await room.deliver({ timeline: [ev.member(BOB, "join", { displayname: "Bobby" })] });
    expect((await room.next())?.["heroes"]).toEqual([{ user_id: ALICE }, { user_id: BOB, displayname: "Bobby" }]);
    await room.deliver({ timeline: [ev.topic(ALICE, "nothing to do with members")] });
    expect(await room.next()).not.toHaveProperty("heroes");
  });

  it("M25: those of a room that the user was banned from are as of then", async () => {
    const room = await follow(t, dialect, { state: [ev.member(BOB)], parts: { summary: { "m.heroes": [ALICE, BOB] } } });
    await room.leave({ timeline: [ev.member(room.me, "ban", {}, { sender: ALICE })] });
    await room.next();
    expect(heroes(await room.anew())).toEqual([ALICE, BOB]);
  });

  it("M24: name and avatar of a room that the user was banned from are as of then", async () => {
    const room = await follow(t, dialect, { state: [ev.name(ALICE, "then"), ev.state("m.room.avatar", "", ALICE, { url: "mxc://test/then" })] });
    await room.leave({ timeline: [ev.member(room.me, "ban", {}, { sender: ALICE })] });
    expect(await room.anew()).toMatchObject({ initial: true, name: "then", avatar: "mxc://test/then" });
  });
});
