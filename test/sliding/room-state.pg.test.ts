import { describe, expect, it } from "vitest";
import { ev } from "../support/fake-homeserver.ts";
import { ALICE, all, BOB, CAROL, follow, messages, stateEvent } from "../support/followed-room.ts";
import { type AskedConfig, DIALECTS, stateOf, timelineIds } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const child = (key: string) => ev.spaceChild(ALICE, key);
const odd = (key: string, content = {}) => ev.state("org.example.odd", key, ALICE, content);
const NOWHERE = { lists: { all: { ranges: [[50, 59]] as const } } };
const NEW_ROOM = ["m.room.create|", "m.room.join_rules|", "m.room.power_levels|"];

describe.each(DIALECTS)("required_state", (dialect) => {
  const having = (state: AskedConfig["state"] & object, options: Partial<Parameters<typeof follow>[2]> = {}) =>
    follow(t, dialect, { config: { limit: 5, state }, ...options });

  it("M38: if none is asked for, none is sent, at first and later", async () => {
    const room = await having([]);
    expect(room.first).not.toHaveProperty("required_state");
    await room.deliver({ timeline: [ev.topic(ALICE, "x")] });
    const then = await room.next();
    expect(timelineIds(then)).toHaveLength(1);
    expect(then).not.toHaveProperty("required_state");
  });

  it("M38: exact pairs: existing ones as they are now; another key of the type is another pair", async () => {
    const create = [
      ["m.room.create", ""],
      ["m.room.topic", ""],
      ["m.room.topic", "other"],
      ["org.example.odd", "a"],
    ] as const;
    const [old, topic, a] = [ev.topic(ALICE, "old"), ev.topic(ALICE, "new"), odd("a")];
    const room = await having(create, { state: [old, a, odd("b")], parts: { timeline: [topic] } });
    expect(stateOf(room.first)).toEqual(["m.room.create|", "m.room.topic|", "org.example.odd|a"]);
    expect(stateEvent(room.first, "m.room.topic")).toMatchObject({ event_id: topic.event_id, sender: ALICE, content: { topic: "new" } });
    expect(stateEvent(room.first, "m.room.topic")).not.toHaveProperty("room_id");
  });

  it("M38: then what changed of it alone, and once", async () => {
    const room = await having(
      [
        ["m.room.create", ""],
        ["m.room.topic", ""],
      ],
      { state: [ev.topic(ALICE, "old")] },
    );
    const topic = ev.topic(ALICE, "new");
    await room.deliver({ timeline: [ev.topic(ALICE, "in between"), topic, ev.name(ALICE, "not asked for")] });
    expect((await room.next())?.["required_state"]).toMatchObject([{ event_id: topic.event_id }]);
    await room.deliver({ timeline: messages(1) });
    expect(await room.next()).not.toHaveProperty("required_state");
  });

  it("M38: any key of a type", async () => {
    const room = await having([["m.space.child", "*"]], { state: [child("!a:test"), child("!b:test"), odd("!a:test")] });
    expect(stateOf(room.first)).toEqual(["m.space.child|!a:test", "m.space.child|!b:test"]);
    await room.deliver({ timeline: [child("!b:test"), child("!c:test"), odd("x")] });
    expect(stateOf(await room.next())).toEqual(["m.space.child|!b:test", "m.space.child|!c:test"]);
  });

  it("M38: one key of any type", async () => {
    const room = await having([["*", "a"]], { state: [odd("a"), odd("b"), ev.state("org.example.other", "a", ALICE, {})] });
    expect(stateOf(room.first)).toEqual(["org.example.odd|a", "org.example.other|a"]);
    await room.deliver({ timeline: [odd("a"), odd("b")] });
    expect(stateOf(await room.next())).toEqual(["org.example.odd|a"]);
  });

  it("M38: a user's id as key of any type is also that member", async () => {
    const room = await having([["*", BOB]], { state: [odd(BOB), ev.member(BOB), ev.member(CAROL)] });
    expect(stateOf(room.first)).toEqual([`m.room.member|${BOB}`, `org.example.odd|${BOB}`]);
  });

  it("M38: patterns in types and keys have no special meaning", async () => {
    const room = await having(
      [
        ["m.room.*", ""],
        ["org.example.odd", "a*"],
        ["m.room.%", ""],
      ],
      { state: [odd("ab"), odd("a*")] },
    );
    expect(stateOf(room.first)).toEqual(["org.example.odd|a*"]);
  });

  it("M38: the own membership, and members by name, at first and when they change", async () => {
    const room = await having(
      [
        ["m.room.member", "$ME"],
        ["m.room.member", BOB],
      ],
      { state: [ev.member(BOB), ev.member(CAROL)] },
    );
    expect(stateOf(room.first)).toEqual([`m.room.member|${BOB}`, `m.room.member|${room.me}`].toSorted());
    await room.deliver({ timeline: [ev.member(CAROL, "leave"), ev.member(BOB, "join", { displayname: "Bobby" })] });
    const then = await room.next();
    expect(stateOf(then)).toEqual([`m.room.member|${BOB}`]);
    expect(stateEvent(then, "m.room.member", BOB)).toMatchObject({ content: { displayname: "Bobby" } });
    await room.deliver({ timeline: [ev.member(room.me, "join", { displayname: "Me" })] });
    expect(stateOf(await room.next())).toEqual([`m.room.member|${room.me}`]);
  });

  it("M38: each room has its own", async () => {
    const room = await having([["m.room.topic", ""]], { state: [ev.topic(ALICE, "x")] });
    const other = `!other-of-${room.id.slice(1)}`;
    await room.give({ join: { [other]: { state: [ev.create(ALICE), ev.topic(ALICE, "y"), ev.name(ALICE, "z"), ev.member(room.me)] } } });
    await room.ask({ ...all({ state: [["m.room.topic", ""]] }), subs: { [other]: { state: [["m.room.name", ""]] } } });
    expect(stateOf(room.answer.rooms[other])).toEqual(["m.room.name|", "m.room.topic|"]);
    await room.deliver({ timeline: [ev.name(ALICE, "not here")] });
    expect(await room.ask({ ...all({ state: [["m.room.topic", ""]] }), subs: { [other]: { state: [["m.room.name", ""]] } } })).not.toHaveProperty(
      "required_state",
    );
  });

  it("M21 M38: of lists and subscriptions together the union, and the largest timeline", async () => {
    const room = await having([], { state: [ev.topic(ALICE, "x"), ev.name(ALICE, "y"), odd("a"), odd("b")], parts: { timeline: messages(5) } });
    const both = {
      connId: "both",
      lists: {
        one: { ranges: [[0, 9]] as const, state: [["m.room.topic", ""]] as const, limit: 1 },
        two: { ranges: [[0, 9]] as const, state: [["org.example.odd", "a"]] as const, limit: 3 },
      },
      subs: { [room.id]: { state: [["org.example.odd", "*"]] as const, limit: 2 } },
    };
    const sent = (await room.client.sync(both)).rooms[room.id];
    expect(stateOf(sent)).toEqual(["m.room.topic|", "org.example.odd|a", "org.example.odd|b"]);
    expect(timelineIds(sent)).toHaveLength(3);
  });

  it("M40: what is asked for newly is sent at once, once, and without the timeline again", async () => {
    const room = await having([["m.room.create", ""]], { state: [ev.topic(ALICE, "x"), odd("a")], parts: { timeline: messages(3) } });
    const more = {
      limit: 5,
      state: [
        ["m.room.create", ""],
        ["m.room.topic", ""],
        ["org.example.odd", "*"],
      ] as const,
    };
    const grown = await room.next(more, { timeout: 30_000 });
    expect(stateOf(grown)).toEqual(["m.room.topic|", "org.example.odd|a"]);
    expect(grown).not.toHaveProperty("timeline");
    expect(grown).not.toHaveProperty("initial");
    expect(grown).not.toHaveProperty("unstable_expanded_timeline");
    expect(grown).toMatchObject({ limited: false, num_live: 0 });
    expect(await room.next(more)).toBeUndefined();
  });

  it("M40: at once also where a longer timeline is asked for with it", async () => {
    const room = await having([], { config: { limit: 1 }, state: [ev.topic(ALICE, "x")], parts: { timeline: messages(3) } });
    const grown = await room.next({ limit: 3, state: [["m.room.topic", ""]] });
    expect(stateOf(grown)).toEqual(["m.room.topic|"]);
    expect(timelineIds(grown)).toHaveLength(3);
  });

  it("M40: if nothing matches what is newly asked for, nothing is sent", async () => {
    const room = await having([]);
    const more = { limit: 5, state: [["org.example.odd", ""]] as const };
    expect(await room.next(more)).toBeUndefined();
    const event = odd("");
    await room.deliver({ timeline: [event] });
    expect((await room.next(more))?.["required_state"]).toMatchObject([{ event_id: event.event_id }]);
  });

  it("M40: with a change in the same answer each state comes once", async () => {
    const room = await having([["m.room.name", ""]], { state: [ev.topic(ALICE, "x"), ev.name(ALICE, "y")] });
    const topic = ev.topic(ALICE, "z");
    await room.deliver({ timeline: [topic, ev.name(ALICE, "new")] });
    const grown = await room.next({
      limit: 5,
      state: [
        ["m.room.name", ""],
        ["m.room.topic", ""],
      ],
    });
    expect(stateOf(grown)).toEqual(["m.room.name|", "m.room.topic|"]);
    expect(stateEvent(grown, "m.room.topic")).toMatchObject({ event_id: topic.event_id });
  });

  it("M40: asked for less and again: not sent again where it did not change", async () => {
    const wide = {
      limit: 5,
      state: [
        ["m.room.topic", ""],
        ["m.room.name", ""],
      ] as const,
    };
    const narrow = { limit: 5, state: [["m.room.name", ""]] as const };
    const room = await follow(t, dialect, { config: wide, state: [ev.topic(ALICE, "x")] });
    await room.deliver({ timeline: [ev.name(ALICE, "y")] });
    expect(stateOf(await room.next(narrow))).toEqual(["m.room.name|"]);
    expect(await room.next(wide)).toBeUndefined();
  });

  it("M40: asked for less and again: what changed in between is not lost, and comes at once", async () => {
    const wide = {
      limit: 5,
      state: [
        ["m.room.topic", ""],
        ["org.example.odd", "*"],
      ] as const,
    };
    const narrow = { limit: 5, state: [] };
    const room = await follow(t, dialect, { config: wide, state: [ev.topic(ALICE, "x"), odd("a"), odd("b")] });
    const [topic, a] = [ev.topic(ALICE, "new"), odd("a", { new: true })];
    await room.deliver({ timeline: [topic] }, { timeline: [a] });
    expect(await room.next(narrow)).not.toHaveProperty("required_state");
    await room.next(narrow);
    const again = await room.next(wide, { timeout: 30_000 });
    expect(stateEvent(again, "m.room.topic")).toMatchObject({ event_id: topic.event_id });
    expect(stateEvent(again, "org.example.odd", "a")).toMatchObject({ event_id: a.event_id });
    expect(await room.next(wide)).toBeUndefined();
  });

  it("M40: a retry of the earlier position grows in the same way", async () => {
    const room = await having([], { state: [ev.topic(ALICE, "x")] });
    const { pos } = room.answer;
    for (let tries = 0; tries < 2; tries += 1)
      expect(stateOf(await room.next({ state: [["m.room.topic", ""]] }, { pos }))).toEqual(["m.room.topic|"]);
    expect(await room.next({ state: [] }, { pos })).toBeUndefined();
  });

  it("M40: what one connection asked for changes nothing for another", async () => {
    const room = await having([["m.room.topic", ""]], { state: [ev.topic(ALICE, "x")] });
    const other = { ...all({ limit: 5 }), connId: "other" };
    const first = await room.client.sync(other);
    expect(first.rooms[room.id]).not.toHaveProperty("required_state");
    const grown = await room.client.sync({ ...all({ limit: 5, state: [["m.room.topic", ""]] }), connId: "other" }, { pos: first.pos });
    expect(stateOf(grown.rooms[room.id])).toEqual(["m.room.topic|"]);
    expect(await room.next()).toBeUndefined();
  });

  it("M23 M38: state that changed while the room was out of scope is sent when it is back, once", async () => {
    const room = await having(
      [
        ["m.room.topic", ""],
        ["m.room.name", ""],
      ],
      { state: [ev.topic(ALICE, "x"), ev.name(ALICE, "y")] },
    );
    await room.ask(NOWHERE);
    const topic = ev.topic(ALICE, "z");
    await room.deliver({ timeline: [topic, ...messages(9)] });
    await room.ask(NOWHERE);
    const back = await room.next();
    expect(back?.["required_state"]).toMatchObject([{ event_id: topic.event_id }]);
    expect(back).toMatchObject({ limited: true });
    expect(await room.next()).toBeUndefined();
  });

  it("M23 M40: asked for more when the room is back, both come", async () => {
    const room = await having([["m.room.topic", ""]], { state: [ev.topic(ALICE, "x"), odd("a")] });
    await room.ask(NOWHERE);
    await room.deliver({ timeline: [ev.topic(ALICE, "z")] });
    await room.ask(NOWHERE);
    expect(
      stateOf(
        await room.next({
          state: [
            ["m.room.topic", ""],
            ["org.example.odd", "a"],
          ],
        }),
      ),
    ).toEqual(["m.room.topic|", "org.example.odd|a"]);
  });

  it("M43: a state event in the timeline that is asked for is in required_state as well, at first and later", async () => {
    const [topic, name, create] = [ev.topic(ALICE, "x"), ev.name(ALICE, "y"), ev.topic(ALICE, "z")];
    const room = await having([["m.room.topic", ""]], { parts: { timeline: [topic, name] } });
    expect(timelineIds(room.first)).toEqual([topic.event_id, name.event_id]);
    expect(room.first["required_state"]).toMatchObject([{ event_id: topic.event_id }]);
    await room.deliver({ timeline: [create] });
    const then = await room.next();
    expect(timelineIds(then)).toEqual([create.event_id]);
    expect(then?.["required_state"]).toMatchObject([{ event_id: create.event_id }]);
  });

  it("M43: also where the timeline is expanded at the same time, and where it is empty by its limit", async () => {
    const room = await having([], { config: { limit: 1, state: [["m.room.topic", ""]] }, parts: { timeline: messages(3) } });
    const topic = ev.topic(ALICE, "x");
    await room.deliver({ timeline: [topic] });
    const expanded = await room.next({ limit: 4, state: [["m.room.topic", ""]] });
    expect(timelineIds(expanded)).toHaveLength(4);
    expect(expanded?.["required_state"]).toMatchObject([{ event_id: topic.event_id }]);
    const other = ev.topic(ALICE, "y");
    await room.deliver({ timeline: [other] });
    expect((await room.next({ limit: 0, state: [["m.room.topic", ""]] }))?.["required_state"]).toMatchObject([{ event_id: other.event_id }]);
  });

  it("M38: all state but members, these lazily", async () => {
    const lazily = [
      ["*", "*"],
      ["m.room.member", "$LAZY"],
    ] as const;
    const room = await having(lazily, { state: [ev.member(BOB), odd("a")], parts: { timeline: messages(1) } });
    expect(stateOf(room.first)).toEqual([...NEW_ROOM, `m.room.member|${ALICE}`, "org.example.odd|a"].toSorted());
  });
});
