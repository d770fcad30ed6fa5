import { describe, expect, it } from "vitest";
import { ev } from "../support/fake-homeserver.ts";
import { ALICE, all, BOB, CAROL, follow, membersTold, messages, stateEvent } from "../support/followed-room.ts";
import { DIALECTS, timelineIds } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const DAVE = "@dave:test";
const LAZY = ["m.room.member", "$LAZY"] as const;
const NOWHERE = { lists: { all: { ranges: [[50, 59]] as const } } };
const joined = (...users: string[]) => users.map((user) => `${user}: join`);
const others = [BOB, CAROL, DAVE].map((user) => ev.member(user));

describe.each(DIALECTS)("lazy members", (dialect) => {
  const config = { limit: 3, state: [LAZY] };
  const lazily = (...senders: string[]) =>
    follow(t, dialect, { config, state: others, parts: { timeline: senders.map((sender) => ev.message(sender)) } });

  it("M39: at first the senders in the timeline that is sent, and no others", async () => {
    const room = await lazily(DAVE, BOB, ALICE, BOB);
    expect(timelineIds(room.first)).toHaveLength(3);
    expect(membersTold(room.first)).toEqual(joined(ALICE, BOB));
  });

  it("M39: then new senders, each once", async () => {
    const room = await lazily(ALICE);
    await room.deliver({ timeline: [ev.message(BOB), ev.message(ALICE)] });
    expect(membersTold(await room.next())).toEqual(joined(BOB));
    await room.deliver({ timeline: [ev.message(BOB), ev.message(CAROL)] });
    expect(membersTold(await room.next())).toEqual(joined(CAROL));
    await room.deliver({ timeline: [ev.message(BOB), ev.message(CAROL), ev.message(ALICE)] });
    expect(await room.next()).not.toHaveProperty("required_state");
  });

  it("M39: not the user himself where nothing needs him; with $ME always", async () => {
    const room = await lazily(ALICE);
    expect(membersTold(room.first)).not.toContain(`${room.me}: join`);
    expect(membersTold(await room.anew({ limit: 3, state: [LAZY, ["m.room.member", "$ME"]] }))).toEqual(joined(ALICE, room.me).toSorted());
  });

  it("M39: targets of member events in the timeline, as they are now", async () => {
    for (const membership of ["join", "invite", "leave", "ban", "knock"]) {
      const room = await lazily(ALICE);
      const event = ev.member("@target:test", membership, {}, { sender: CAROL });
      await room.deliver({ timeline: [event] });
      const sent = await room.next();
      expect(membersTold(sent)).toEqual([`${CAROL}: join`, `@target:test: ${membership}`]);
      expect(stateEvent(sent, "m.room.member", "@target:test")).toMatchObject({ event_id: event.event_id });
      const anew = await room.anew();
      expect(membersTold(anew)).toEqual([`${ALICE}: join`, `${CAROL}: join`, `@target:test: ${membership}`]);
    }
  });

  it("M39: without a gap every change of members, also of those who are not in the timeline", async () => {
    const room = await lazily(ALICE);
    await room.deliver({ state: [ev.member(DAVE, "leave")], timeline: [ev.message(ALICE)] });
    const sent = await room.next();
    expect(timelineIds(sent)).toHaveLength(1);
    expect(membersTold(sent)).toEqual([`${DAVE}: leave`]);
  });

  it("M39 M38: of members by name every change, also in a gap that v2 sends by its state alone", async () => {
    const room = await follow(t, dialect, {
      config: {
        state: [
          ["m.room.member", "$ME"],
          ["m.room.member", BOB],
        ],
      },
      state: others,
    });
    const [me, bob] = [ev.member(room.me, "join", { displayname: "Me" }), ev.member(BOB, "leave")];
    await room.deliver({ state: [me, bob, ev.member("@e:test")], timeline: messages(1), limited: true, prev_batch: "p" });
    const sent = await room.next();
    expect(stateEvent(sent, "m.room.member", room.me)).toMatchObject({ event_id: me.event_id });
    expect(stateEvent(sent, "m.room.member", BOB)).toMatchObject({ event_id: bob.event_id });
    expect(membersTold(sent)).toHaveLength(2);
  });

  it("M38: a member asked for by name who was unknown at first is sent once known", async () => {
    const room = await follow(t, dialect, { config: { state: [["m.room.member", "@e:test"]] } });
    expect(room.first).not.toHaveProperty("required_state");
    const known = ev.member("@e:test");
    await room.deliver({ state: [known], timeline: [ev.message("@e:test")] });
    expect((await room.next())?.["required_state"]).toMatchObject([{ event_id: known.event_id }]);
    await room.deliver({ timeline: [ev.message("@e:test")] });
    expect(await room.next()).not.toHaveProperty("required_state");
  });

  it("M39: members that v2 sends beside the timeline, as it loads them lazily, are no changes", async () => {
    const room = await lazily(ALICE);
    await room.deliver({ state: [ev.member("@e:test")], timeline: [ev.message(ALICE)] });
    expect(await room.next()).not.toHaveProperty("required_state");
  });

  it("M39: a member that was sent is sent again when he has changed", async () => {
    const room = await lazily(BOB);
    await room.deliver({ timeline: [ev.member(BOB, "join", { displayname: "Bobby" })] });
    expect(stateEvent(await room.next(), "m.room.member", BOB)).toMatchObject({ content: { displayname: "Bobby" } });
    await room.deliver({ timeline: [ev.message(BOB)] });
    expect(await room.next()).not.toHaveProperty("required_state");
  });

  it("M39: where the timeline is limited, the members it needs are sent, and members known before are forgotten", async () => {
    const room = await lazily(BOB);
    await room.deliver({ timeline: [ev.member(DAVE, "leave"), ...messages(3, BOB)] });
    const sent = await room.next();
    expect(sent).toMatchObject({ limited: true });
    expect(membersTold(sent)).toEqual(joined(BOB));
  });

  it("M39 M35: after a gap upstream, too", async () => {
    const room = await lazily(BOB);
    await room.deliver({ state: [ev.member(BOB, "join", { displayname: "Bobby" })], timeline: messages(1, BOB), limited: true, prev_batch: "p" });
    const sent = await room.next();
    expect(stateEvent(sent, "m.room.member", BOB)).toMatchObject({ content: { displayname: "Bobby" } });
    expect(membersTold(sent)).toHaveLength(1);
  });

  it("M39: a change that was missed in a gap comes when its user speaks again", async () => {
    const room = await lazily(BOB);
    await room.deliver({ timeline: [ev.member(BOB, "join", { displayname: "Bobby" }), ...messages(3, ALICE)] });
    expect(membersTold(await room.next())).toEqual(joined(ALICE));
    await room.deliver({ timeline: messages(1, BOB) });
    const sent = await room.next();
    expect(stateEvent(sent, "m.room.member", BOB)).toMatchObject({ content: { displayname: "Bobby" } });
  });

  it("M39: each room and each connection has members of its own", async () => {
    const room = await lazily(BOB);
    const other = `!other-of-${room.id.slice(1)}`;
    const state = [ev.create(ALICE), ev.member(ALICE), ev.member(BOB), ev.member(room.me)];
    await room.give({ join: { [other]: { state, timeline: messages(1, BOB) } } });
    await room.next();
    expect(membersTold(room.answer.rooms[other])).toEqual(joined(BOB));
    expect(membersTold(await room.anew())).toEqual(joined(BOB));
    await room.deliver({ timeline: messages(1, BOB) });
    expect(await room.next()).not.toHaveProperty("required_state");
  });

  it("M39: the same position again has the same members, whatever was sent from it", async () => {
    const room = await lazily(ALICE);
    const { pos } = room.answer;
    await room.deliver({ timeline: [ev.message(BOB)] });
    expect(membersTold(await room.next(config, { pos }))).toEqual(joined(BOB));
    await room.deliver({ timeline: [ev.message(CAROL)] });
    expect(membersTold(await room.next(config, { pos }))).toEqual(joined(BOB, CAROL));
    await room.deliver({ timeline: [ev.message(BOB), ev.message(CAROL)] });
    expect(await room.next()).not.toHaveProperty("required_state");
  });

  it("M39: an expanded timeline has the members that it needs", async () => {
    const room = await follow(t, dialect, {
      config: { limit: 1, state: [LAZY] },
      state: others,
      parts: { timeline: [BOB, CAROL, ALICE].map((user) => ev.message(user)) },
    });
    expect(membersTold(room.first)).toEqual(joined(ALICE));
    const expanded = await room.next({ limit: 3, state: [LAZY] });
    expect(timelineIds(expanded)).toHaveLength(3);
    expect(membersTold(expanded)).toEqual(expect.arrayContaining(joined(BOB, CAROL)));
  });

  it("M39 M23: back in scope: what was missed, without a gap", async () => {
    const room = await lazily(ALICE);
    await room.ask(NOWHERE);
    await room.deliver({ timeline: [ev.member(DAVE, "leave"), ev.message(BOB)] });
    await room.ask(NOWHERE);
    expect(membersTold(await room.next())).toEqual([`${BOB}: join`, `${DAVE}: leave`]);
    expect(await room.next()).toBeUndefined();
  });

  it("M39 M40: asked for later, from then on; what was sent before and has not changed is not sent again", async () => {
    const none = { limit: 3, state: [] };
    const room = await lazily(BOB);
    await room.deliver({ timeline: [ev.message(CAROL), ev.member(BOB, "join", { displayname: "Bobby" })] });
    expect(await room.next(none)).not.toHaveProperty("required_state");
    expect(await room.next(config)).toBeUndefined();
    await room.deliver({ timeline: [ev.message(BOB), ev.message(CAROL)] });
    const sent = await room.next(config);
    expect(membersTold(sent)).toEqual(joined(BOB, CAROL));
    expect(stateEvent(sent, "m.room.member", BOB)).toMatchObject({ content: { displayname: "Bobby" } });
    await room.deliver({ timeline: [ev.message(BOB)] });
    await room.next(none);
    await room.deliver({ timeline: [ev.message(BOB)] });
    expect(await room.next(config)).not.toHaveProperty("required_state");
  });

  it("M39 M40: from members by name to lazy ones", async () => {
    const named = { limit: 3, state: [["m.room.member", BOB] as const, ["m.room.member", CAROL] as const] };
    const room = await follow(t, dialect, { config: named, state: others, parts: { timeline: messages(1) } });
    expect(membersTold(room.first)).toEqual(joined(BOB, CAROL));
    await room.deliver({ timeline: [ev.message(BOB), ev.message(DAVE)] });
    const sent = await room.next(config);
    expect(membersTold(sent)).toEqual(expect.arrayContaining(joined(DAVE)));
    await room.deliver({ timeline: [ev.member(BOB, "leave")] });
    expect(membersTold(await room.next(config))).toEqual([`${BOB}: leave`]);
  });

  it("M39 M40: a member by name, not asked for any more when a gap had the client forget him, is sent when he is asked for again", async () => {
    const named = { limit: 3, state: [LAZY, ["m.room.member", BOB] as const] };
    const room = await follow(t, dialect, { config: named, state: others, parts: { timeline: messages(1) } });
    expect(membersTold(room.first)).toEqual(joined(ALICE, BOB));
    await room.deliver({ timeline: messages(4) });
    expect(await room.next(config)).toMatchObject({ limited: true });
    expect(membersTold(await room.next(named))).toEqual(joined(BOB));
  });

  it("M39: unknown members are left out", async () => {
    const room = await lazily(ALICE);
    await room.deliver({ timeline: [ev.message("@unknown:test")] });
    const sent = await room.next();
    expect(timelineIds(sent)).toHaveLength(1);
    expect(sent).not.toHaveProperty("required_state");
  });

  it("M39 M21: lazy in one list and by name in another", async () => {
    const room = await lazily(ALICE);
    const lists = {
      lazy: { ranges: [[0, 9]] as const, limit: 1, state: [LAZY] },
      named: { ranges: [[0, 9]] as const, limit: 1, state: [["m.room.member", BOB] as const] },
    };
    const first = await room.client.sync({ connId: "both", lists });
    expect(membersTold(first.rooms[room.id])).toEqual(joined(ALICE, BOB));
    await room.deliver({ timeline: [ev.message(BOB)] });
    const then = await room.client.sync({ connId: "both", lists }, { pos: first.pos });
    expect(then.rooms[room.id]).not.toHaveProperty("required_state");
    expect(membersTold(await room.ask(all(config)))).toEqual(joined(BOB));
  });
});
