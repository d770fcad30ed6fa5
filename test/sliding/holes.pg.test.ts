/** The server never assumes that a client has what it lacks. */

import { describe, expect, it } from "vitest";
import { ev, newRoom, v2, type V2Parts } from "../support/fake-homeserver.ts";
import { newcomer } from "../support/listed.ts";
import { ids } from "../support/rooms.ts";
import { type AskedConfig, DIALECTS, type SlidingClient, stateOf, timelineIds } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

const [ALICE, BOB] = ["@alice:test", "@bob:test"];
const MEMBER = "m.room.member";
const A = "!a:test";

const t = v3Server();

const messages = (count: number) => Array.from({ length: count }, (_, index) => ev.message(ALICE, `${index}`));
const asked = (limit: number, ...state: (readonly [string, string])[]): { subs: Record<string, AskedConfig> } => ({
  subs: { [A]: { limit, state } },
});
const deliver = (client: SlidingClient, parts: V2Parts) => t.deliver(client.client, v2(parts));

describe.each(DIALECTS)("%s: what a client has not received", (dialect) => {
  it("M35 M37: what came while no timeline was asked for is sent with the newest events when one is, and never skipped", async () => {
    const first = messages(3);
    const client = newcomer(t, dialect, { join: { [A]: { state: newRoom(ALICE), timeline: first } } });
    const one = await client.sync(asked(3));
    const unseen = messages(2);
    await deliver(client, { join: { [A]: { timeline: [...unseen, ev.topic(ALICE, "t")] } } });
    const two = await client.sync(asked(0, ["m.room.topic", ""]), { pos: one.pos });
    expect(two.rooms[A]).not.toHaveProperty("timeline");
    const newest = ev.message(ALICE);
    await deliver(client, { join: { [A]: { timeline: [newest] } } });
    const three = await client.sync(asked(3), { pos: two.pos });
    expect(three.rooms[A]).toMatchObject({ unstable_expanded_timeline: true, limited: true, num_live: 1 });
    expect(timelineIds(three.rooms[A])).toHaveLength(3);
    expect(timelineIds(three.rooms[A]).slice(-1)).toEqual([newest.event_id]);
  });

  it("M36 M37: without a timeline for a while, and nothing in it, nothing is sent again", async () => {
    const client = newcomer(t, dialect, { join: { [A]: { state: newRoom(ALICE), timeline: messages(3) } } });
    const one = await client.sync(asked(3));
    await deliver(client, { join: { [A]: { summary: { "m.joined_member_count": 5 } } } });
    const two = await client.sync(asked(0), { pos: one.pos });
    expect(two.rooms[A]).toMatchObject({ joined_count: 5 });
    expect((await client.sync(asked(3), { pos: two.pos })).rooms).toEqual({});
  });

  it("M32: a room that the user is not in says so in every answer that sends anything of it", async () => {
    const client = newcomer(t, dialect, { join: { [A]: { state: [...newRoom(ALICE), ev.topic(ALICE, "t")], timeline: messages(3) } } });
    const { userId } = client.client;
    const one = await client.sync(asked(1));
    const ban = ev.member(userId, "ban", {}, { sender: ALICE });
    await deliver(client, { leave: { [A]: { timeline: [ban] } } });
    const two = await client.sync(asked(1), { pos: one.pos });
    const own = `${MEMBER}|${userId}`;
    expect(stateOf(two.rooms[A])).toEqual([own]);
    expect((await client.sync(asked(1), { pos: two.pos })).rooms).toEqual({});
    const three = await client.sync(asked(2, ["m.room.topic", ""]), { pos: two.pos });
    expect(stateOf(three.rooms[A])).toEqual([own, "m.room.topic|"]);
    expect(three.rooms[A]?.["required_state"]).toContainEqual(expect.objectContaining({ event_id: ban.event_id }));
    expect((await client.sync(asked(2, ["m.room.topic", ""]), { pos: three.pos })).rooms).toEqual({});
  });

  it("M39 M40: a member that was asked for by name and is not any more is forgotten after a gap, and sent when it is asked for again", async () => {
    const client = newcomer(t, dialect, { join: { [A]: { state: [...newRoom(ALICE), ev.member(BOB)], timeline: messages(1) } } });
    const bob = asked(1, [MEMBER, BOB]);
    const one = await client.sync(bob);
    expect(stateOf(one.rooms[A])).toEqual([`${MEMBER}|${BOB}`]);
    const calm = await client.sync(asked(1), { pos: one.pos });
    expect((await client.sync(bob, { pos: calm.pos })).rooms).toEqual({});
    const late = messages(2);
    await deliver(client, { join: { [A]: { timeline: late } } });
    const two = await client.sync(asked(1, [MEMBER, "$LAZY"]), { pos: calm.pos });
    expect([two.rooms[A]?.["limited"], timelineIds(two.rooms[A])]).toEqual([true, ids(late.slice(1))]);
    const three = await client.sync(bob, { pos: two.pos });
    expect(stateOf(three.rooms[A])).toEqual([`${MEMBER}|${BOB}`]);
    expect((await client.sync(bob, { pos: three.pos })).rooms).toEqual({});
  });

  it("M39: a member that was sent lazily is forgotten after a gap, also where members were not asked for when it came", async () => {
    const first = ev.message(BOB);
    const client = newcomer(t, dialect, { join: { [A]: { state: [...newRoom(ALICE), ev.member(BOB)], timeline: [first] } } });
    const lazy = asked(1, [MEMBER, "$LAZY"]);
    const one = await client.sync(lazy);
    expect(stateOf(one.rooms[A])).toEqual([`${MEMBER}|${BOB}`]);
    await deliver(client, { join: { [A]: { timeline: messages(2) } } });
    const two = await client.sync(asked(1), { pos: one.pos });
    expect(two.rooms[A]).toMatchObject({ limited: true });
    await deliver(client, { join: { [A]: { timeline: [ev.message(BOB)] } } });
    const three = await client.sync(lazy, { pos: two.pos });
    expect(stateOf(three.rooms[A])).toEqual([`${MEMBER}|${BOB}`]);
  });
});
