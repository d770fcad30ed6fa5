/** What a connection sees if retention has deleted data after its position: less history, and nothing wrong. */

import { beforeAll, describe, expect, it } from "vitest";
import { silentLogger } from "../../src/base/logger.ts";
import { RetentionJob } from "../../src/upstream/retention-job.ts";
import { ev, newRoom, v2, type V2Parts } from "../support/fake-homeserver.ts";
import { listed, newcomer } from "../support/listed.ts";
import { HOUR } from "../support/retention-fixture.ts";
import { ids } from "../support/rooms.ts";
import { DIALECTS, type SlidingClient, stateOf, timelineIds } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";
import { Hub } from "../../src/feed/hub.ts";

const ALICE = "@alice:test";
let clock = 0;
const t = v3Server();
beforeAll(() => {
  clock = Date.now();
});

/** An hour passes, with a run at its beginning and its end; the account's horizon is the position at its beginning. */
async function anHour() {
  const job = new RetentionJob({ sql: t.sql, feed: new Hub(), logger: silentLogger(), sessionIdleMs: 7 * 24 * HOUR, now: () => clock });
  await job.runOnce();
  clock += HOUR;
  return (await job.runOnce()).counts;
}

const messages = (count: number) => Array.from({ length: count }, (_, index) => ev.message(ALICE, `${index}`));
const list = (limit: number, ...state: (readonly [string, string])[]) => ({ lists: { all: { ranges: [[0, 9]] as const, limit, state } } });
const topics = (limit: number) => list(limit, ["m.room.topic", ""], ["im.key", "*"]);
const deliver = (client: SlidingClient, parts: V2Parts) => t.deliver(client.client, v2(parts));

describe.each(DIALECTS)("%s: a position from before what was deleted", (dialect) => {
  it("M23 M34: the newest events, limited, and the state as it is: nothing that changed is lost", async () => {
    const room = { state: [...newRoom(ALICE), ev.topic(ALICE, "first"), ev.state("im.key", "a", ALICE, {})], timeline: messages(1) };
    const client = newcomer(t, dialect, { join: { "!a:test": room } });
    const first = await client.sync(topics(100));
    const late = messages(40);
    await deliver(client, { join: { "!a:test": { timeline: [ev.topic(ALICE, "second"), ...messages(99)], prev_batch: "p1" } } });
    await deliver(client, {
      join: { "!a:test": { timeline: [ev.topic(ALICE, "third"), ev.state("im.key", "b", ALICE, {}), ...messages(60)], prev_batch: "p2" } },
    });
    await deliver(client, { join: { "!a:test": { timeline: late, prev_batch: "p3" } } });
    const counts = await anHour();
    expect(counts.timeline).toBeGreaterThan(0);
    const { rooms } = await client.sync(topics(100), { pos: first.pos });
    expect(rooms["!a:test"]).toMatchObject({ limited: true, prev_batch: expect.stringMatching(/^p[23]$/) });
    expect(rooms["!a:test"]).not.toHaveProperty("initial");
    expect(timelineIds(rooms["!a:test"]).slice(-40)).toEqual(ids(late));
    expect(stateOf(rooms["!a:test"])).toEqual(["im.key|b", "m.room.topic|"]);
    expect(rooms["!a:test"]?.["required_state"]).toMatchObject([{}, { content: { topic: "third" } }]);
  });

  it("M23 M35: a small limit is sent like a large one: limited where events are missing, not else", async () => {
    const client = newcomer(t, dialect, {
      join: { "!a:test": { state: newRoom(ALICE), timeline: messages(1) }, "!b:test": { state: newRoom(ALICE) } },
    });
    const first = await client.sync(topics(5));
    const few = messages(4);
    await deliver(client, { join: { "!a:test": { timeline: messages(250), prev_batch: "p1" }, "!b:test": { timeline: few } } });
    await deliver(client, { join: { "!a:test": { timeline: messages(3), prev_batch: "p2" } } });
    await anHour();
    const { rooms } = await client.sync(topics(5), { pos: first.pos });
    expect(rooms["!a:test"]).toMatchObject({ limited: true });
    expect(timelineIds(rooms["!a:test"])).toHaveLength(5);
    expect(rooms["!b:test"]).toMatchObject({ limited: false });
    expect(timelineIds(rooms["!b:test"])).toEqual(ids(few));
  });

  it("M24 M26: name and counts that changed since are sent as they are; removed ones too", async () => {
    const room = {
      state: [...newRoom(ALICE), ev.name(ALICE, "old"), ev.state("m.room.avatar", "", ALICE, { url: "mxc://test/a" })],
      timeline: messages(1),
    };
    const client = newcomer(t, dialect, { join: { "!a:test": room, "!b:test": room } });
    const first = await client.sync(topics(1));
    const change = { timeline: [ev.name(ALICE, "new"), ev.state("m.room.avatar", "", ALICE, {})], summary: { "m.joined_member_count": 7 } };
    await deliver(client, { join: { "!a:test": change } });
    await anHour();
    const { rooms } = await client.sync(topics(1), { pos: first.pos });
    expect(Object.keys(rooms)).toEqual(["!a:test"]);
    expect(rooms["!a:test"]).toMatchObject({ name: "new", avatar: null, joined_count: 7 });
  });

  it("M9: a room that was left since is sent as left, once", async () => {
    const joined = { state: newRoom(ALICE), timeline: messages(1) };
    const client = newcomer(t, dialect, { join: { "!gone:test": joined, "!on:test": joined } });
    const { userId } = client.client;
    const first = await client.sync(topics(1));
    await deliver(client, { leave: { "!gone:test": { timeline: [ev.member(userId, "leave")] } } });
    await deliver(client, { join: { "!on:test": { timeline: messages(1) } } });
    expect((await anHour()).left_rooms).toBe(1);
    const second = await client.sync(topics(1), { pos: first.pos });
    expect(Object.keys(second.rooms).toSorted()).toEqual(["!gone:test", "!on:test"]);
    expect(second.rooms["!gone:test"]?.["required_state"]).toMatchObject([{ state_key: userId, content: { membership: "leave" } }]);
    // Nothing is known any more of what was sent before it was left.
    expect(second.rooms["!gone:test"]).toMatchObject({ limited: true });
    const third = await client.sync(topics(1), { pos: second.pos });
    expect(third).toMatchObject({ lists: { all: { count: 1 } }, rooms: {} });
    expect(await listed(client)).toEqual(["!on:test"]);
    await deliver(client, { join: { "!gone:test": { ...joined, limited: true, prev_batch: "p" } } });
    expect((await client.sync(topics(1), { pos: third.pos })).rooms["!gone:test"]).toMatchObject({ initial: true });
  });

  it("M9: rooms that the user was kicked or banned from stay in the list", async () => {
    const joined = { state: [...newRoom(ALICE), ev.name(ALICE, "N")], timeline: messages(1) };
    const client = newcomer(t, dialect, { join: { "!kick:test": joined, "!ban:test": joined, "!on:test": joined } });
    const { userId } = client.client;
    await client.sync();
    const by = (membership: string) => ({ timeline: [ev.member(userId, membership, {}, { sender: ALICE })] });
    await deliver(client, { leave: { "!kick:test": by("leave"), "!ban:test": by("ban") } });
    await deliver(client, { join: { "!on:test": { timeline: messages(1) } } });
    await anHour();
    await t.restart();
    expect((await listed(client)).toSorted()).toEqual(["!ban:test", "!kick:test", "!on:test"]);
    const { rooms } = await client.sync(list(1, ["m.room.create", ""]));
    for (const [roomId, membership] of [
      ["!kick:test", "leave"],
      ["!ban:test", "ban"],
    ] as const) {
      expect(rooms[roomId]).toMatchObject({ initial: true, name: "N", timeline: [{ sender: ALICE, content: { membership } }] });
      expect(stateOf(rooms[roomId])).toEqual(["m.room.create|", `m.room.member|${userId}`]);
    }
  });

  it("M31: an invite that was withdrawn or accepted since is sent as what became of it", async () => {
    const client = newcomer(t, dialect, (me) => ({
      invite: { "!i:test": [{ type: "m.room.member", state_key: me, sender: ALICE, content: { membership: "invite" } }] },
      join: { "!on:test": { state: newRoom(ALICE), timeline: messages(1) } },
    }));
    const { userId } = client.client;
    const first = await client.sync(topics(1));
    expect(first.rooms["!i:test"]?.["invite_state"]).toHaveLength(1);
    await deliver(client, { leave: { "!i:test": { timeline: [ev.member(userId, "leave")] } } });
    await deliver(client, { join: { "!on:test": { timeline: messages(1) } } });
    await anHour();
    await t.restart();
    const second = await client.sync(topics(1), { pos: first.pos });
    expect(JSON.stringify(second.rooms["!i:test"])).toContain(`"membership":"leave"`);
  });

  it("M33: one that was sent as left and joined again since is sent in full", async () => {
    const client = newcomer(t, dialect, {
      join: { "!a:test": { state: [...newRoom(ALICE), ev.state("im.key", "a", ALICE, {})], timeline: messages(1) } },
    });
    const { userId } = client.client;
    const first = await client.sync(topics(1));
    expect(stateOf(first.rooms["!a:test"])).toEqual(["im.key|a"]);
    await deliver(client, { leave: { "!a:test": { timeline: [ev.member(userId, "leave")] } } });
    const second = await client.sync(topics(1), { pos: first.pos });
    await deliver(client, { join: { "!a:test": { state: newRoom(ALICE), timeline: [ev.member(userId)], limited: true, prev_batch: "p" } } });
    await anHour();
    const { rooms } = await client.sync(topics(1), { pos: second.pos });
    expect(rooms["!a:test"]).toMatchObject({ initial: true });
    expect(stateOf(rooms["!a:test"])).toEqual([]);
  });
});
