/** Parts of required_state that only one of the dialects has. */

import { describe, expect, it } from "vitest";
import { indexKey } from "../../src/wire/index-key.ts";
import { ev, type Json } from "../support/fake-homeserver.ts";
import { ALICE, all, BOB, CAROL, follow, type FollowedRoom, messages, stateEvent } from "../support/followed-room.ts";
import { incompressibleText } from "../support/lengths.ts";
import { type RoomAnswer, stateOf } from "../support/sliding.ts";
import { serveMembers } from "../support/scene.ts";
import { v3Server } from "../support/v3.ts";

const t = v3Server();

const odd = (key: string) => ev.state("org.example.odd", key, ALICE, {});
const NEW_ROOM = ["m.room.create|", "m.room.join_rules|", "m.room.power_levels|"];

/** A list with a v4 required_state, passed as it is. */
const v4 = (required_state: Json, timeline_limit = 5) => ({ more: { lists: { all: { range: [0, 9], timeline_limit, required_state } } } });
const first = async (room: FollowedRoom, required_state: Json): Promise<RoomAnswer | undefined> =>
  (await room.client.sync({ connId: "own", ...v4(required_state) })).rooms[room.id];

describe("v4: include, exclude, lazy_members", () => {
  it("M41: an element without a key is any key, without a type any type, without both all state", async () => {
    const room = await follow(t, "v4", { state: [odd("a"), odd("b"), ev.state("org.example.other", "a", ALICE, {})] });
    expect(stateOf(await first(room, { include: [{ type: "org.example.odd" }] }))).toEqual(["org.example.odd|a", "org.example.odd|b"]);
    expect(stateOf(await first(room, { include: [{ state_key: "a" }] }))).toEqual(["org.example.odd|a", "org.example.other|a"]);
    serveMembers(t, room.id, [ev.member(ALICE), ev.member(room.me)]);
    expect(stateOf(await first(room, { include: [{}] }))).toEqual(
      [...NEW_ROOM, `m.room.member|${ALICE}`, `m.room.member|${room.me}`, "org.example.odd|a", "org.example.odd|b", "org.example.other|a"].toSorted(),
    );
  });

  it("M41: nothing is included by default", async () => {
    const room = await follow(t, "v4", { state: [odd("a")] });
    expect(await first(room, {})).not.toHaveProperty("required_state");
    expect(await first(room, { exclude: [{ type: "m.room.create" }] })).not.toHaveProperty("required_state");
  });

  it("M41: there are no wildcards and no placeholders: they are types and keys like others", async () => {
    const room = await follow(t, "v4", { state: [odd("*"), odd("$ME")] });
    expect(stateOf(await first(room, { include: [{ type: "*", state_key: "*" }] }))).toEqual([]);
    expect(stateOf(await first(room, { include: [{ type: "org.example.odd", state_key: "*" }] }))).toEqual(["org.example.odd|*"]);
    expect(stateOf(await first(room, { include: [{ type: "m.room.member", state_key: "$ME" }] }))).toEqual([]);
  });

  it("M41: what is excluded is not sent, neither at first nor later nor when more is asked for", async () => {
    const room = await follow(t, "v4", { state: [odd("a"), odd("b")] });
    const asked = v4({
      include: [{ type: "org.example.odd" }, { type: "m.room.create" }],
      exclude: [{ state_key: "b" }, { type: "m.room.create", state_key: "" }],
    });
    expect(stateOf(await room.ask(asked))).toEqual(["org.example.odd|a"]);
    await room.deliver({ timeline: [odd("b")] });
    expect(await room.ask(asked)).not.toHaveProperty("required_state");
    const less = v4({ include: [{ type: "org.example.odd" }], exclude: [] });
    expect(stateOf(await room.ask(less))).toContain("org.example.odd|b");
  });

  it("M41: each config excludes from its own: the union of lists has it where one includes it", async () => {
    const room = await follow(t, "v4", { state: [odd("a"), odd("b")] });
    const list = (required_state: Json) => ({ range: [0, 9], timeline_limit: 1, required_state });
    const sent = await room.ask({
      more: {
        lists: {
          one: list({ include: [{ type: "org.example.odd" }], exclude: [{ state_key: "b" }] }),
          two: list({ include: [{ type: "org.example.odd", state_key: "b" }] }),
        },
      },
    });
    expect(stateOf(sent)).toEqual(["org.example.odd|a", "org.example.odd|b"]);
  });

  it("M41: with lazy members, a match for every type does not bring all members", async () => {
    const room = await follow(t, "v4", { state: [ev.member(BOB), odd("a")], parts: { timeline: messages(1) } });
    const sent = await first(room, { include: [{}], lazy_members: true });
    expect(stateOf(sent)).toEqual([...NEW_ROOM, `m.room.member|${ALICE}`, "org.example.odd|a"].toSorted());
  });

  it("M41: but an element that names members does", async () => {
    const room = await follow(t, "v4", { state: [ev.member(BOB), ev.member(CAROL)], parts: { timeline: messages(1) } });
    const one = await first(room, { include: [{}, { type: "m.room.member", state_key: BOB }], lazy_members: true });
    expect(stateOf(one)).toEqual([...NEW_ROOM, `m.room.member|${ALICE}`, `m.room.member|${BOB}`].toSorted());
    serveMembers(
      t,
      room.id,
      [ALICE, BOB, CAROL, room.me].map((user) => ev.member(user)),
    );
    const every = await first(room, { include: [{}, { type: "m.room.member" }], lazy_members: true });
    expect(stateOf(every)).toHaveLength(NEW_ROOM.length + 4);
  });

  it("M41: lazy members are not excluded", async () => {
    const room = await follow(t, "v4", { state: [ev.member(BOB)], parts: { timeline: messages(1, BOB) } });
    const asked = { include: [{}], exclude: [{ type: "m.room.member" }], lazy_members: true };
    expect(stateOf(await first(room, asked))).toEqual([...NEW_ROOM, `m.room.member|${BOB}`].toSorted());
  });

  it("M41: where members are excluded, they are not fetched either", async () => {
    const room = await follow(t, "v4", { state: [ev.member(BOB)] });
    expect(stateOf(await first(room, { include: [{}], exclude: [{ type: "m.room.member" }] }))).toEqual(NEW_ROOM);
    expect(t.hs.seen({ path: `/_matrix/client/v3/rooms/${encodeURIComponent(room.id)}/members` })).toHaveLength(0);
  });

  it("M41: single members are excluded", async () => {
    const room = await follow(t, "v4", { state: [ev.member(BOB)] });
    serveMembers(
      t,
      room.id,
      [ALICE, BOB, room.me].map((user) => ev.member(user)),
    );
    const sent = await first(room, { include: [{ type: "m.room.member" }], exclude: [{ state_key: BOB }] });
    expect(stateOf(sent)).toEqual([`m.room.member|${ALICE}`, `m.room.member|${room.me}`]);
  });

  it("M41 M21: a lazy list and one of all members together: all members", async () => {
    const room = await follow(t, "v4", { state: [ev.member(BOB)], parts: { timeline: messages(1) } });
    serveMembers(
      t,
      room.id,
      [ALICE, BOB, room.me].map((user) => ev.member(user)),
    );
    const list = (required_state: Json) => ({ range: [0, 9], timeline_limit: 1, required_state });
    const lists = { one: list({ include: [{}], lazy_members: true }), two: list({ include: [{ type: "m.room.member" }] }) };
    const sent = (await room.client.sync({ connId: "both", more: { lists } })).rooms[room.id];
    expect(stateOf(sent)).toHaveLength(NEW_ROOM.length + 3);
  });
});

describe("v4: deleted state", () => {
  /** v2 cannot express it: the row ends in the database, as after a state reset that a homeserver sent. */
  async function endState(room: FollowedRoom, type: string, key: string): Promise<void> {
    await t.sql`
      with a as (update accounts set position = position + 1 where user_id = ${room.me} returning account, position)
      update state s set to_ord = a.position from a
      where a.account = s.account and s.room_id = ${room.id} and s.type = ${type} and s.state_key = ${key} and s.to_ord > a.position`;
  }
  const asked = {
    limit: 5,
    state: [
      ["org.example.odd", "*"],
      ["m.room.topic", ""],
    ] as const,
  };

  it("M42: a stub, once, of what is asked for", async () => {
    const room = await follow(t, "v4", { config: asked, state: [odd("a"), odd("b"), ev.name(ALICE, "x")] });
    await endState(room, "org.example.odd", "a");
    await endState(room, "m.room.name", "");
    await room.deliver({ timeline: messages(1) });
    expect((await room.next())?.["required_state"]).toEqual([{ type: "org.example.odd", state_key: "a" }]);
    await room.deliver({ timeline: messages(1) });
    expect(await room.next()).not.toHaveProperty("required_state");
    expect(stateOf(await room.anew())).toEqual(["org.example.odd|b"]);
  });

  it("M42 N2: a stub has the full key, however long", async () => {
    const key = incompressibleText(3000);
    const room = await follow(t, "v4", { config: asked, state: [odd(key)] });
    await endState(room, "org.example.odd", indexKey(key));
    await room.deliver({ timeline: messages(1) });
    expect((await room.next())?.["required_state"]).toEqual([{ type: "org.example.odd", state_key: key }]);
  });

  it("M42: none for state that was set again, or that began and ended in between", async () => {
    const room = await follow(t, "v4", { config: asked, state: [odd("a")] });
    await endState(room, "org.example.odd", "a");
    const again = odd("a");
    await room.deliver({ timeline: messages(1) }, { timeline: [again, odd("short")] });
    await endState(room, "org.example.odd", "short");
    await room.deliver({ timeline: messages(1) });
    expect((await room.next())?.["required_state"]).toMatchObject([{ event_id: again.event_id }]);
  });

  it("M42: members too, whether all are asked for or they were loaded lazily", async () => {
    const every = { limit: 5, state: [["m.room.member", "*"] as const] };
    const lazy = { limit: 5, state: [["m.room.member", "$LAZY"] as const] };
    const room = await follow(t, "v4", { config: lazy, state: [ev.member(BOB), ev.member(CAROL)], parts: { timeline: messages(1, BOB) } });
    const people = [ALICE, BOB, CAROL, room.me].map((user) => ev.member(user));
    serveMembers(t, room.id, people);
    const other = await room.client.sync({ ...all(every), connId: "every" });
    // After a gap the list is fetched again, without two of the members.
    serveMembers(t, room.id, [people[0] ?? {}, people[3] ?? {}]);
    await room.deliver({ timeline: messages(1), limited: true, prev_batch: "gap" });
    const then = await room.client.sync({ ...all(every), connId: "every" }, { pos: other.pos });
    const stubs = [BOB, CAROL].map((user) => ({ type: "m.room.member", state_key: user }));
    expect(then.rooms[room.id]?.["required_state"]).toEqual(stubs);
    expect((await room.next())?.["required_state"]).toContainEqual(stubs[0]);
  });

  it("M42: a room that was out of scope meanwhile is sent with them as well", async () => {
    const room = await follow(t, "v4", { config: asked, state: [odd("a")] });
    await room.ask({});
    await endState(room, "org.example.odd", "a");
    await room.deliver({ timeline: messages(1) });
    await room.ask({});
    expect((await room.next())?.["required_state"]).toEqual([{ type: "org.example.odd", state_key: "a" }]);
  });
});

describe("unstable dialect: wildcards", () => {
  it("M38: all state is all of it, members included", async () => {
    const room = await follow(t, "unstable", { state: [ev.member(BOB), odd("a")] });
    serveMembers(
      t,
      room.id,
      [ALICE, BOB, room.me].map((user) => ev.member(user)),
    );
    const everything = [...NEW_ROOM, ...[ALICE, BOB, room.me].map((user) => `m.room.member|${user}`), "org.example.odd|a"].toSorted();
    expect(stateOf(await room.anew({ state: [["*", "*"]] }))).toEqual(everything);
    expect(
      stateOf(
        await room.anew({
          state: [
            ["*", "*"],
            ["m.room.create", ""],
            ["org.example.odd", "*"],
          ],
        }),
      ),
    ).toEqual(everything);
  });

  it("M38: beside it a tuple for members narrows those", async () => {
    const room = await follow(t, "unstable", { state: [ev.member(BOB), odd("a")] });
    const sent = await room.anew({
      state: [
        ["*", "*"],
        ["m.room.member", "$ME"],
      ],
    });
    expect(stateOf(sent)).toEqual([...NEW_ROOM, `m.room.member|${room.me}`, "org.example.odd|a"].toSorted());
    expect(stateEvent(sent, "m.room.member", BOB)).toBeUndefined();
    serveMembers(
      t,
      room.id,
      [ALICE, BOB, room.me].map((user) => ev.member(user)),
    );
    expect(
      stateOf(
        await room.anew({
          state: [
            ["*", "*"],
            ["m.room.member", "*"],
          ],
        }),
      ),
    ).toHaveLength(NEW_ROOM.length + 4);
  });
});
