import { describe, expect, test } from "vitest";

import { ev, newRoom } from "../../../test/support/events.ts";
import { eachWithAccount } from "../../../test/support/each-with-account.ts";
import type { TestAccount } from "../../../test/support/test-account.ts";

let me: TestAccount;
const ROOM = "!a:test";
const BOB = "@bob:test";

eachWithAccount((account) => {
  me = account;
});

const heroes = (...ids: string[]) => ({ "m.heroes": ids, "m.joined_member_count": ids.length + 1, "m.invited_member_count": 0 });
const direct = (...rooms: string[]) => ({ type: "m.direct", content: { [BOB]: rooms } });

describe("facts", () => {
  test("name, avatar, encryption, type, version, counts, tags", async () => {
    const avatar = ev.state("m.room.avatar", "", me.me, { url: "mxc://a/b" });
    await me.step({
      join: {
        [ROOM]: {
          state: [...newRoom(me.me, { type: "m.space", room_version: "11" }), ev.name(me.me, "N"), avatar, ev.encryption(me.me)],
          summary: heroes(BOB),
          unread: { notification_count: 2, highlight_count: 1 },
          account_data: [{ type: "m.tag", content: { tags: { "m.favourite": { order: 0.1 } } } }],
        },
      },
    });
    expect(await me.facts(ROOM)).toMatchObject({
      membership: "join",
      name: "N",
      avatar: "mxc://a/b",
      is_dm: false,
      is_encrypted: true,
      room_type: "m.space",
      room_version: "11",
      joined_count: 2,
      invited_count: 0,
      notification_count: 2,
      highlight_count: 1,
      tags: { "m.favourite": { order: 0.1 } },
    });
  });

  test("a row is written only for differences; the old row ends where the new one begins", async () => {
    await me.step({ join: { [ROOM]: { timeline: newRoom(me.me), summary: heroes(BOB) } } });
    const first = await me.facts(ROOM);
    await me.step({ join: { [ROOM]: { timeline: [ev.message(BOB)] } } });
    expect((await me.facts(ROOM)).from_ord).toBe(first.from_ord);
    const position = await me.step({ join: { [ROOM]: { timeline: [ev.name(me.me, "N")] } } });
    const rows =
      await me.sql`select from_ord, to_ord = 9223372036854775807 as open, to_ord from room_facts where account = ${me.account} order by from_ord`;
    expect(rows.map((row) => [row["from_ord"], row["open"]])).toEqual([
      [first.from_ord, false],
      [position, true],
    ]);
    expect(rows[0]?.["to_ord"]).toBe(position);
  });

  test("M25 S5: a room whose name goes, and everybody else with it, is named by those who were there, also where they left before", async () => {
    const [room, later] = ["!emptied:test", "!emptied-later:test"];
    const bob = ev.member(BOB, "join", { displayname: "Bob" });
    await me.step({ join: { [room]: { timeline: [...newRoom(me.me), ev.name(me.me, "N"), bob] }, [later]: { timeline: [...newRoom(me.me), bob] } } });
    const left = () => ev.member(BOB, "leave", { displayname: "Bob" });
    await me.step({ join: { [room]: { timeline: [left()] }, [later]: { timeline: [left()] } } });
    await me.step({ join: { [room]: { timeline: [ev.name(me.me, "")] } } });
    const named = { name: "Empty room (was Bob)", heroes: [{ user_id: BOB, displayname: "Bob" }] };
    expect(await me.facts(room)).toMatchObject(named);
    expect(await me.facts(later)).toMatchObject(named);
    // Whoever comes counts again.
    await me.step({ join: { [room]: { timeline: [ev.member("@eve:test")] } } });
    expect(await me.facts(room)).toMatchObject({ heroes: [{ user_id: "@eve:test" }] });
  });

  test("M25: heroes from before a room had a name do not come back when the name goes", async () => {
    const [bob, eve] = [ev.member(BOB, "join", { displayname: "Bob" }), ev.member("@eve:test", "join", { displayname: "Eve" })];
    await me.step({ join: { [ROOM]: { timeline: [...newRoom(me.me), bob], summary: heroes(BOB) } } });
    // v2's summary has counts alone while the room has a name.
    const left = { "m.joined_member_count": 2 };
    await me.step({ join: { [ROOM]: { timeline: [ev.name(me.me, "N"), eve, ev.member(BOB, "leave")], summary: left } } });
    await me.step({ join: { [ROOM]: { timeline: [ev.name(me.me, "")] } } });
    expect(await me.facts(ROOM)).toMatchObject({ name: "Eve", heroes: [{ user_id: "@eve:test", displayname: "Eve" }] });
  });

  test("a room named by heroes, whose names come later, change and stay; absent counts stay", async () => {
    await me.step({ join: { [ROOM]: { timeline: newRoom(me.me), state: [], summary: heroes(BOB, "@eve:test") } } });
    expect((await me.facts(ROOM)).name).toBe("@bob:test and @eve:test");
    await me.step({ join: { [ROOM]: { state: [ev.member(BOB, "join", { displayname: "Bob" })], timeline: [ev.message(BOB)] } } });
    expect((await me.facts(ROOM)).name).toBe("Bob and @eve:test");
    await me.step({ join: { [ROOM]: { timeline: [ev.member(BOB, "join", { displayname: "Rob", avatar_url: "mxc://rob/1" })] } } });
    await me.step({ join: { [ROOM]: { timeline: [ev.message(BOB)], summary: { "m.joined_member_count": 5 } } } });
    expect(await me.facts(ROOM)).toMatchObject({
      name: "Rob, @eve:test, and 2 others",
      joined_count: 5,
      heroes: [{ user_id: BOB, displayname: "Rob", avatar_url: "mxc://rob/1" }, { user_id: "@eve:test" }],
    });
    // New heroes whose names are already known.
    await me.step({ join: { [ROOM]: { summary: heroes("@eve:test") } } });
    await me.step({ join: { [ROOM]: { summary: heroes(BOB) } } });
    expect((await me.facts(ROOM)).name).toBe("Rob");
  });

  test("without any summary a room is counted and named by its known members", async () => {
    await me.step({ join: { [ROOM]: { timeline: [...newRoom(me.me), ev.member(BOB, "join", { displayname: "Bob" })] } } });
    expect(await me.facts(ROOM)).toMatchObject({ joined_count: 2, invited_count: 0, name: "Bob" });
    await me.step({ join: { [ROOM]: { timeline: [ev.member("@eve:test", "invite", {}, { sender: BOB })] } } });
    expect(await me.facts(ROOM)).toMatchObject({ joined_count: 2, invited_count: 1, name: "Bob and @eve:test" });
    await me.step({ join: { [ROOM]: { timeline: [ev.member(BOB, "leave")] } } });
    expect(await me.facts(ROOM)).toMatchObject({ joined_count: 1, invited_count: 1, name: "@eve:test" });
    await me.step({ join: { [ROOM]: { timeline: [ev.name(me.me, "N")] } } });
    await me.step({ join: { [ROOM]: { timeline: [ev.name(me.me, "")] } } });
    expect((await me.facts(ROOM)).name).toBe("@eve:test");
  });

  test("m.direct before the room, after it, and removed; the other's avatar in a DM", async () => {
    await me.step({ account_data: [direct(ROOM)] });
    const bob = ev.member(BOB, "join", { avatar_url: "mxc://bob/1" });
    await me.step({
      join: {
        [ROOM]: { timeline: [...newRoom(me.me), bob], summary: heroes(BOB) },
        "!b:test": { timeline: [...newRoom(me.me), bob], summary: heroes(BOB) },
      },
    });
    expect(await me.facts(ROOM)).toMatchObject({ is_dm: true, avatar: "mxc://bob/1" });
    expect((await me.facts("!b:test")).is_dm).toBe(false);
    expect(await me.facts("!b:test")).not.toHaveProperty("avatar");
    await me.step({ account_data: [direct("!b:test")] });
    expect((await me.facts(ROOM)).is_dm).toBe(false);
    expect(await me.facts(ROOM)).not.toHaveProperty("avatar");
    expect(await me.facts("!b:test")).toMatchObject({ is_dm: true, avatar: "mxc://bob/1" });
    const before = await me.position();
    // A different order is no difference to the rooms: one account data row, no facts.
    expect(await me.step({ account_data: [{ type: "m.direct", content: { [BOB]: ["!b:test", 5], x: 7 } }] })).toBe(before + 1);
  });

  test("the homeserver's count verifies a complete member list", async () => {
    await me.step({ join: { [ROOM]: { timeline: [...newRoom(me.me), ev.member(BOB)], summary: heroes(BOB) } } });
    await me.sql`update rooms set members = 'complete' where account = ${me.account}`;
    await me.step({ join: { [ROOM]: { timeline: [ev.member("@eve:test")], summary: { "m.joined_member_count": 3 } } } });
    expect((await me.room(ROOM)).members).toBe("complete");
    const position = await me.step({ join: { [ROOM]: { timeline: [ev.message(BOB)], summary: { "m.joined_member_count": 4 } } } });
    expect(await me.room(ROOM)).toMatchObject({ members: "stale", unsure_ord: position });
  });
});

describe("invites and knocks", () => {
  const stripped = (user: string) => [
    ev.create(BOB, { room_version: "11" }),
    ev.name(BOB, "Party"),
    ev.member(BOB, "join", { displayname: "Bob" }),
    ev.member(user, "invite", { is_direct: true }, { sender: BOB }),
  ];

  test("an invite: its row, facts from the stripped state", async () => {
    await me.step({ invite: { [ROOM]: stripped(me.me) } });
    expect(await me.facts(ROOM)).toMatchObject({
      membership: "invite",
      name: "Party",
      is_dm: true,
      room_version: "11",
      heroes: [{ user_id: BOB, displayname: "Bob" }],
    });
    const [row] = await me.sql`select kind, inviter, gone, ord from invites where account = ${me.account}`;
    expect(row).toEqual({ kind: "invite", inviter: BOB, gone: false, ord: 1 });
    expect((await me.room(ROOM)).last_ts).toBe(me.now);
  });

  test("TestStuckInvites: a joined or rejected invite is gone, and may come again", async () => {
    await me.step({ invite: { [ROOM]: stripped(me.me), "!b:test": stripped(me.me) } });
    const before = await me.position();
    await me.step({
      join: { [ROOM]: { timeline: [...newRoom(BOB), ev.member(me.me)] } },
      leave: { "!b:test": { timeline: [ev.member(me.me, "leave")] } },
    });
    const rows = await me.sql`select gone, ord > ${before} as newer from invites where account = ${me.account}`;
    expect(rows.map((row) => ({ ...row }))).toEqual([
      { gone: true, newer: true },
      { gone: true, newer: true },
    ]);
    expect(await me.facts(ROOM)).toMatchObject({ membership: "join", is_dm: false });
    expect((await me.facts("!b:test")).membership).toBe("leave");
    await me.step({ invite: { "!b:test": stripped(me.me) } });
    const [again] = await me.sql`select gone from invites where account = ${me.account} and room_id = '!b:test'`;
    expect(again).toEqual({ gone: false });
    expect((await me.facts("!b:test")).membership).toBe("invite");
  });

  test.each([{ rooms: [] }, { rooms: [ROOM] }])(
    "M12: an invite that calls itself direct: once it is answered, m.direct ($rooms) counts",
    async ({ rooms }) => {
      await me.step({ account_data: [direct(...rooms)], invite: { [ROOM]: stripped(me.me) } });
      expect(await me.facts(ROOM)).toMatchObject({ is_dm: true });
      await me.step({ join: { [ROOM]: { timeline: [...newRoom(BOB), ev.member(me.me)] } } });
      expect(await me.facts(ROOM)).toMatchObject({ membership: "join", is_dm: rooms.length > 0 });
    },
  );

  test("the same invite again is not news", async () => {
    const events = stripped(me.me);
    const before = await me.step({ invite: { [ROOM]: events } });
    expect(await me.step({ invite: { [ROOM]: events } })).toBe(before);
  });

  test("a knock, then the invite that answers it", async () => {
    await me.step({ knock: { [ROOM]: [ev.name(BOB, "Club"), ev.member(me.me, "knock")] } });
    expect(await me.facts(ROOM)).toMatchObject({ membership: "knock", name: "Club" });
    await me.step({ invite: { [ROOM]: stripped(me.me) } });
    const rows = await me.sql`select kind, gone from invites where account = ${me.account}`;
    expect(rows.map((row) => ({ ...row }))).toEqual([{ kind: "invite", gone: false }]);
  });
});
