import { describe, expect, it } from "vitest";
import { ev } from "../support/fake-homeserver.ts";
import { ALICE, all, BOB, CAROL, follow, messages, newNames, stateEvent } from "../support/followed-room.ts";
import { DIALECTS, timelineIds } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const avatar = (url?: string) => ev.state("m.room.avatar", "", ALICE, url === undefined ? {} : { url });
const direct = (...rooms: string[]) => ({ type: "m.direct", content: { [BOB]: rooms } });

describe.each(DIALECTS)("a room's fields", (dialect) => {
  const isV4 = dialect === "v4";

  it("M22: full the first time, then what changed, and absent without changes", async () => {
    const timeline = messages(2);
    const room = await follow(t, dialect, { state: [ev.name(ALICE, "the room")], parts: { timeline } });
    expect(room.first).toMatchObject({ initial: true, name: "the room", joined_count: 2, limited: false, num_live: 0 });
    expect(timelineIds(room.first)).toEqual(timeline.map((event) => event.event_id));
    expect(await room.next()).toBeUndefined();
    const news = ev.message(ALICE);
    await room.deliver({ timeline: [news] });
    const then = await room.next();
    expect(timelineIds(then)).toEqual([news.event_id]);
    expect(Object.keys(then ?? {}).toSorted()).toEqual(
      [
        "bump_stamp",
        "limited",
        "num_live",
        "prev_batch",
        "timeline",
        ...(isV4 ? ["lists", "membership"] : ["highlight_count", "notification_count"]),
      ].toSorted(),
    );
    expect(await room.next()).toBeUndefined();
  });

  it("M22: what was not asked for is no news of a room", async () => {
    const room = await follow(t, dialect);
    await room.deliver({
      account_data: [{ type: "m.tag", content: { tags: {} } }],
      ephemeral: [{ type: "m.typing", content: { user_ids: [ALICE] } }],
    });
    expect(await room.next()).toBeUndefined();
  });

  it("M22: a room with state and no timeline is sent, and one whose state came in an odd order", async () => {
    const room = await follow(t, dialect, { config: { state: [["m.room.create", ""]] } });
    expect(room.first).toMatchObject({ initial: true, limited: false, num_live: 0 });
    expect(room.first).not.toHaveProperty("timeline");
    const { me, id } = newNames();
    const create = ev.create(ALICE);
    const odd = await follow(t, dialect, { names: { me, id: `${id}x` }, config: { state: [["m.room.create", ""]] } });
    await odd.give({ join: { [id]: { timeline: [ev.member(me), ev.message(ALICE), create] } } });
    await odd.next();
    expect(odd.answer.rooms[id]).toMatchObject({ initial: true });
    expect(stateEvent(odd.answer.rooms[id], "m.room.create")).toMatchObject({ event_id: create.event_id });
  });

  it("M24: name and avatar as they are set: at first, and when they change, whether or not their events are asked for", async () => {
    const room = await follow(t, dialect, { state: [ev.name(ALICE, "one"), avatar("mxc://test/one")] });
    expect(room.first).toMatchObject({ name: "one", avatar: "mxc://test/one" });
    expect(room.first).not.toHaveProperty("required_state");
    await room.deliver({ timeline: [ev.message(ALICE)] });
    const other = await room.next();
    expect(other).not.toHaveProperty("name");
    expect(other).not.toHaveProperty("avatar");
    await room.deliver({ timeline: [ev.name(ALICE, "two")] });
    const named = await room.next({ state: [["m.room.name", ""]] });
    expect(named).toMatchObject({ name: "two" });
    expect(named).not.toHaveProperty("avatar");
    expect(stateEvent(named, "m.room.name")).toMatchObject({ content: { name: "two" } });
    await room.deliver({ timeline: [avatar("mxc://test/two")] });
    const shown = await room.next();
    expect(shown).toMatchObject({ avatar: "mxc://test/two" });
    expect(shown).not.toHaveProperty("name");
  });

  it("M24: they are not computed from aliases or members", async () => {
    const alias = ev.state("m.room.canonical_alias", "", ALICE, { alias: "#alias:test" });
    const names = newNames();
    const room = await follow(t, dialect, {
      names,
      state: [alias, ev.member(BOB, "join", { displayname: "Bob", avatar_url: "mxc://test/bob" })],
      parts: { summary: { "m.heroes": [BOB] } },
      more: { account_data: [direct(names.id)] },
    });
    expect(room.first).not.toHaveProperty("name");
    expect(room.first).not.toHaveProperty("avatar");
    expect(room.first).toMatchObject({ is_dm: true });
  });

  it("M24: an avatar that is removed is null, once", async () => {
    const room = await follow(t, dialect, { state: [avatar("mxc://test/one")] });
    await room.deliver({ timeline: [avatar()] });
    expect(await room.next()).toMatchObject({ avatar: null });
    await room.deliver({ timeline: [ev.message(ALICE)] });
    expect(await room.next()).not.toHaveProperty("avatar");
    expect(await room.anew()).not.toHaveProperty("avatar");
  });

  it("M24: a name that is removed", async () => {
    const room = await follow(t, dialect, { state: [ev.name(ALICE, "one")] });
    await room.deliver({ timeline: [ev.name(ALICE, "")] });
    const then = await room.next();
    if (isV4) expect(then).toMatchObject({ name: null });
    else expect(then).not.toHaveProperty("name");
    expect(await room.anew()).not.toHaveProperty("name");
  });

  it("M24: a redaction removes them", async () => {
    const [name, picture] = [ev.name(ALICE, "one"), avatar("mxc://test/one")];
    const room = await follow(t, dialect, { state: [name, picture] });
    await room.deliver({ timeline: [ev.redaction(ALICE, name.event_id), ev.redaction(ALICE, picture.event_id)] });
    const then = await room.next();
    expect(then).toMatchObject({ avatar: null });
    if (isV4) expect(then).toMatchObject({ name: null });
    expect(Object.keys((await room.anew()) ?? {})).not.toEqual(expect.arrayContaining(["name"]));
  });

  it("M24: values that are not text are not sent", async () => {
    const odd = [ev.state("m.room.name", "", ALICE, { name: 5 }), ev.state("m.room.avatar", "", ALICE, { url: { mxc: 1 } })];
    const room = await follow(t, dialect, { state: odd, parts: { timeline: messages(1) } });
    expect(timelineIds(room.first)).toHaveLength(1);
    expect(room.first).not.toHaveProperty("name");
    expect(room.first).not.toHaveProperty("avatar");
  });

  it("M24: one that changed while the room was not asked for is sent once when it is asked for again", async () => {
    const room = await follow(t, dialect, { state: [ev.name(ALICE, "one")] });
    await room.deliver({ timeline: [ev.name(ALICE, "two")] });
    await room.ask({});
    await room.deliver({ timeline: [ev.message(ALICE)] });
    expect(await room.next()).toMatchObject({ name: "two" });
    await room.deliver({ timeline: [ev.message(ALICE)] });
    expect(await room.next()).not.toHaveProperty("name");
  });

  it("M26: the homeserver's counts, at first and when they change", async () => {
    const room = await follow(t, dialect, { parts: { summary: { "m.joined_member_count": 40, "m.invited_member_count": 3 } } });
    expect(room.first).toMatchObject({ joined_count: 40, invited_count: 3 });
    await room.deliver({ timeline: [ev.message(ALICE)] });
    const other = await room.next();
    expect(other).not.toHaveProperty("joined_count");
    expect(other).not.toHaveProperty("invited_count");
    await room.deliver({ timeline: [ev.member(BOB)], summary: { "m.joined_member_count": 41 } });
    expect(await room.next()).toMatchObject({ joined_count: 41 });
    await room.deliver({ timeline: [ev.member(CAROL, "invite", {}, { sender: ALICE })], summary: { "m.invited_member_count": 4 } });
    expect(await room.next()).toMatchObject({ invited_count: 4 });
  });

  it("M26: if the homeserver sends none, they are counted", async () => {
    const room = await follow(t, dialect, { state: [ev.member(BOB, "invite", {}, { sender: ALICE })] });
    expect(room.first).toMatchObject({ joined_count: 2, invited_count: 1 });
    await room.deliver({ timeline: [ev.member(BOB)] });
    expect(await room.next()).toMatchObject({ joined_count: 3, invited_count: 0 });
  });

  it("M26: they are not sent for a room that the user is not in", async () => {
    const room = await follow(t, dialect, { parts: { summary: { "m.joined_member_count": 40 } } });
    await room.leave({ timeline: [ev.member(room.me, "leave", {}, { sender: ALICE })] });
    for (const sent of [await room.next(), await room.anew()]) {
      expect(sent).toBeDefined();
      expect(sent).not.toHaveProperty("joined_count");
      expect(sent).not.toHaveProperty("invited_count");
    }
  });

  it("M29: a direct room says so at first, another one does not", async () => {
    const names = newNames();
    const room = await follow(t, dialect, { names, more: { account_data: [direct(names.id)] } });
    expect(room.first).toMatchObject({ is_dm: true });
    await room.deliver({ timeline: [ev.message(ALICE)] });
    expect(await room.next()).not.toHaveProperty("is_dm");
    const group = await follow(t, dialect);
    expect(group.first).not.toHaveProperty("is_dm");
  });

  it("M29: a room that becomes a direct one is sent again", async () => {
    const room = await follow(t, dialect);
    await room.give({ account_data: [direct(room.id)] });
    expect(await room.next()).toMatchObject({ is_dm: true });
    expect(await room.anew()).toMatchObject({ is_dm: true });
  });

  it("M24 M26: a room out of every window is sent with its changed fields once it is in one again", async () => {
    const room = await follow(t, dialect, { state: [ev.name(ALICE, "one")], parts: { summary: { "m.joined_member_count": 2 } } });
    await room.ask({ lists: { all: { ranges: [[5, 9]] } } });
    await room.deliver({ timeline: [ev.name(ALICE, "two")] }, { timeline: [ev.member(BOB)], summary: { "m.joined_member_count": 3 } });
    expect(await room.ask({ lists: { all: { ranges: [[5, 9]] } } })).toBeUndefined();
    const back = await room.next();
    expect(back).toMatchObject({ name: "two", joined_count: 3, limited: false, num_live: 0 });
    expect(back).not.toHaveProperty("initial");
    expect(await room.next()).toBeUndefined();
  });
});

describe("notification counts, unstable dialect", () => {
  it("M27: the homeserver's own, in every entry of a joined room", async () => {
    const room = await follow(t, "unstable", { parts: { unread: { notification_count: 3, highlight_count: 1 } } });
    expect(room.first).toMatchObject({ notification_count: 3, highlight_count: 1 });
    await room.deliver({ timeline: [ev.message(ALICE)] });
    expect(await room.next()).toMatchObject({ notification_count: 3, highlight_count: 1 });
    await room.deliver({ timeline: [ev.message(ALICE)], unread: { notification_count: 4, highlight_count: 2 } });
    expect(await room.next()).toMatchObject({ notification_count: 4, highlight_count: 2 });
  });

  it("M27: their change alone is news, and ends a wait", async () => {
    const room = await follow(t, "unstable", { parts: { timeline: messages(1), unread: { notification_count: 3, highlight_count: 1 } } });
    const waiting = room.next(undefined, { timeout: 30_000 });
    await room.deliver({ unread: { notification_count: 0, highlight_count: 0 } });
    const read = await waiting;
    expect(read).toMatchObject({ notification_count: 0, highlight_count: 0 });
    expect(read).not.toHaveProperty("timeline");
    expect(read).not.toHaveProperty("bump_stamp");
    expect(await room.next()).toBeUndefined();
  });

  it("M27: a room that the user is invited to, or has left, has none", async () => {
    const room = await follow(t, "unstable", { parts: { unread: { notification_count: 3 } } });
    await room.leave({ timeline: [ev.member(room.me, "leave")] });
    expect(await room.next()).not.toHaveProperty("notification_count");
    const invited = newNames().id;
    await room.give({ invite: { [invited]: [{ type: "m.room.member", state_key: room.me, sender: ALICE, content: { membership: "invite" } }] } });
    await room.next();
    expect(room.answer.rooms[invited]).not.toHaveProperty("notification_count");
    expect(room.answer.rooms[invited]).not.toHaveProperty("highlight_count");
  });
});

describe("v4 alone", () => {
  it("M27: there are no notification counts, and their change is no news", async () => {
    const room = await follow(t, "v4", { parts: { unread: { notification_count: 3, highlight_count: 1 } } });
    expect(room.first).not.toHaveProperty("notification_count");
    expect(room.first).not.toHaveProperty("highlight_count");
    await room.deliver({ unread: { notification_count: 0, highlight_count: 0 } });
    expect(await room.next()).toBeUndefined();
  });

  it("M29: a change is sent in both directions", async () => {
    const room = await follow(t, "v4");
    await room.give({ account_data: [direct(room.id)] });
    expect(await room.next()).toMatchObject({ is_dm: true });
    await room.give({ account_data: [direct()] });
    expect(await room.next()).toMatchObject({ is_dm: false });
    await room.deliver({ timeline: [ev.message(ALICE)] });
    expect(await room.next()).not.toHaveProperty("is_dm");
  });

  it("M30: membership and lists are in every entry", async () => {
    const room = await follow(t, "v4");
    expect(room.first).toMatchObject({ membership: "join", lists: ["all"] });
    await room.deliver({ timeline: [ev.message(ALICE)] });
    const lists = { one: { ranges: [[0, 9]] as const }, none: { filters: { is_encrypted: true } }, two: { ranges: [[0, 0]] as const } };
    expect(await room.ask({ lists })).toMatchObject({ membership: "join", lists: ["one", "two"] });
    await room.deliver({ timeline: [ev.message(ALICE)] });
    const subscribed = await room.ask({ lists: { none: lists.none }, subs: { [room.id]: {} } });
    expect(subscribed).toMatchObject({ membership: "join" });
    expect(subscribed).not.toHaveProperty("lists");
    await room.leave({ timeline: [ev.member(room.me, "ban", {}, { sender: ALICE })] });
    expect(await room.ask(all())).toMatchObject({ membership: "ban", lists: ["all"] });
  });

  it("M30: of invites and knocks as well", async () => {
    const room = await follow(t, "v4");
    const [invited, knocked] = [newNames().id, newNames().id];
    const own = (membership: string) => ({ type: "m.room.member", state_key: room.me, sender: ALICE, content: { membership } });
    await room.give({ invite: { [invited]: [own("invite")] }, knock: { [knocked]: [own("knock")] } });
    await room.next();
    expect(room.answer.rooms[invited]).toMatchObject({ membership: "invite", lists: ["all"] });
    expect(room.answer.rooms[knocked]).toMatchObject({ membership: "knock", lists: ["all"] });
  });
});
