import { describe, expect, it } from "vitest";
import { ev, type Json, newRoom, type RoomParts, v2 } from "../support/fake-homeserver.ts";
import { newcomer } from "../support/listed.ts";
import { ids } from "../support/rooms.ts";
import { type Ask, DIALECTS, type RoomAnswer, type SlidingClient, stateOf, timelineIds } from "../support/sliding.ts";
import { v3Server } from "../support/v3.ts";

/** Rooms that enter and leave the scope: never sent, sent live, or sent up to some position. */

const ALICE = "@alice:test";
const [A, B] = ["!a:test", "!b:test"];
const STATE = [
  ["m.room.name", ""],
  ["m.room.topic", ""],
  ["im.key", "*"],
] as const;

const t = v3Server();

const room = (timeline: Json[], state: Json[] = []): RoomParts => ({ state: [...newRoom(ALICE), ...state], timeline });
const messages = (count: number) => Array.from({ length: count }, (_, index) => ev.message(ALICE, `${index}`));
/** Only the newest room. */
const top = (limit = 5): Ask => ({ lists: { top: { ranges: [[0, 0]], limit, state: STATE } } });
const wide = (limit = 5): Ask => ({ lists: { top: { ranges: [[0, 9]], limit, state: STATE } } });
const keysOf = (told: RoomAnswer | undefined) => stateOf(told).map((one) => one.split("|").join(" ").trim());

describe.each(DIALECTS)("%s: what a room out of scope missed", (dialect) => {
  /** A was sent and has left the window, because something happened in B. */
  async function outOfScope(limit = 5): Promise<{ client: SlidingClient; pos: string; say: (roomId: string, ...events: Json[]) => Promise<void> }> {
    const client = newcomer(t, dialect, {
      join: {
        [B]: room([ev.message(ALICE, "old", { origin_server_ts: 5 })]),
        [A]: room(messages(2), [ev.name(ALICE, "A"), ev.topic(ALICE, "first")]),
      },
    });
    const say = (roomId: string, ...timeline: Json[]) => t.deliver(client.client, v2({ join: { [roomId]: { timeline } } }));
    const first = await client.sync(top(limit));
    expect(Object.keys(first.rooms)).toEqual([A]);
    await say(B, ev.message(ALICE));
    const second = await client.sync(top(limit), { pos: first.pos });
    expect(Object.keys(second.rooms)).toEqual([B]);
    return { client, pos: second.pos, say };
  }

  it("M23: never sent: full when it comes into scope, events from before the position too", async () => {
    const old = ev.message(ALICE, "old", { origin_server_ts: 5 });
    const client = newcomer(t, dialect, { join: { [B]: room([old], [ev.name(ALICE, "B")]), [A]: room(messages(1)) } });
    const first = await client.sync(top());
    const fresh = ev.message(ALICE);
    await t.deliver(client.client, v2({ join: { [B]: { timeline: [fresh] } } }));
    const { rooms } = await client.sync(top(), { pos: first.pos });
    expect(rooms[B]).toMatchObject({ initial: true, name: "B", limited: false, num_live: 1 });
    expect(timelineIds(rooms[B])).toEqual(ids([old, fresh]));
    expect(keysOf(rooms[B])).toEqual(["m.room.name"]);
  });

  it("M23: sent as it changes: what is new of timeline and state, and no more", async () => {
    const client = newcomer(t, dialect, { join: { [A]: room(messages(3), [ev.name(ALICE, "A"), ev.topic(ALICE, "first")]) } });
    const first = await client.sync(wide());
    const topic = ev.topic(ALICE, "second");
    await t.deliver(client.client, v2({ join: { [A]: { timeline: [topic] } } }));
    const { rooms } = await client.sync(wide(), { pos: first.pos });
    expect(rooms[A]).not.toHaveProperty("initial");
    expect(rooms[A]).toMatchObject({ limited: false, num_live: 1 });
    expect([timelineIds(rooms[A]), keysOf(rooms[A])]).toEqual([[topic.event_id], ["m.room.topic"]]);
  });

  it("M23: back in scope, a room is sent with the events that it missed, but not as live", async () => {
    const { client, pos, say } = await outOfScope();
    const missed = messages(3);
    await say(A, ...missed);
    await say(B, ev.message(ALICE));
    const third = await client.sync(top(), { pos });
    expect(Object.keys(third.rooms)).toEqual([B]);
    const fourth = await client.sync(wide(), { pos: third.pos });
    expect(Object.keys(fourth.rooms)).toEqual([A]);
    expect(fourth.rooms[A]).toMatchObject({ limited: false, num_live: 0 });
    expect(fourth.rooms[A]).not.toHaveProperty("initial");
    expect(timelineIds(fourth.rooms[A])).toEqual(ids(missed));
    expect((await client.sync(wide(), { pos: fourth.pos })).rooms).toEqual({});
  });

  it("M23: more than the limit: the newest of them, limited", async () => {
    const { client, pos, say } = await outOfScope(2);
    const missed = messages(3);
    await say(A, ...missed);
    await say(B, ev.message(ALICE));
    const third = await client.sync(top(2), { pos });
    const { rooms } = await client.sync(wide(2), { pos: third.pos });
    expect(rooms[A]).toMatchObject({ limited: true, num_live: 0, prev_batch: expect.any(String) });
    expect(rooms[A]).not.toHaveProperty("initial");
    expect(timelineIds(rooms[A])).toEqual(ids(missed.slice(1)));
  });

  it("M23: what was missed and what is new are sent together, the new as such", async () => {
    const { client, pos, say } = await outOfScope();
    const [missed, fresh] = messages(2);
    await say(A, missed ?? {});
    await say(B, ev.message(ALICE));
    const third = await client.sync(top(), { pos });
    await say(A, fresh ?? {});
    const fourth = await client.sync(top(), { pos: third.pos });
    expect(timelineIds(fourth.rooms[A])).toEqual([missed?.event_id, fresh?.event_id]);
    expect(fourth.rooms[A]).toMatchObject({ num_live: 1, limited: false });
  });

  it("M23: state that changed out of scope is sent once, as it is now, whatever it was in between", async () => {
    const { client, pos, say } = await outOfScope();
    const topics = [ev.topic(ALICE, "second"), ev.topic(ALICE, "third")];
    await say(A, ...topics, ...messages(9), ev.state("im.key", "new", ALICE, {}));
    await say(B, ev.message(ALICE));
    const third = await client.sync(top(), { pos });
    const fourth = await client.sync(wide(), { pos: third.pos });
    expect(keysOf(fourth.rooms[A])).toEqual(["im.key new", "m.room.topic"]);
    expect(fourth.rooms[A]?.["required_state"]).toMatchObject([{}, { content: { topic: "third" } }]);
    await say(A, ev.message(ALICE));
    expect(keysOf((await client.sync(wide(), { pos: fourth.pos })).rooms[A])).toEqual([]);
  });

  it("M23: it is sent again after a lost answer, and not after one that arrived", async () => {
    const { client, pos, say } = await outOfScope();
    const missed = ev.message(ALICE);
    await say(A, missed);
    await say(B, ev.message(ALICE));
    const third = await client.sync(top(), { pos });
    const lost = await client.sync(wide(), { pos: third.pos });
    const again = await client.sync(wide(), { pos: third.pos });
    expect([lost, again].map((answer) => timelineIds(answer.rooms[A]))).toEqual([[missed.event_id], [missed.event_id]]);
    // Another body for the same position, which did not send anything of the room.
    const other = await client.sync(top(), { pos: third.pos });
    expect(other.rooms).toEqual({});
    expect(timelineIds((await client.sync(wide(), { pos: other.pos })).rooms[A])).toEqual([missed.event_id]);
    expect((await client.sync(wide(), { pos: again.pos })).rooms).toEqual({});
  });

  it("M23: name, counts and heroes that changed out of scope are sent as they are", async () => {
    const { client, pos, say } = await outOfScope();
    await say(A, ev.name(ALICE, "A again"));
    await t.deliver(client.client, v2({ join: { [A]: { summary: { "m.joined_member_count": 9 } } } }));
    await say(B, ev.message(ALICE));
    const third = await client.sync(top(), { pos });
    const { rooms } = await client.sync(wide(), { pos: third.pos });
    expect(rooms[A]).toMatchObject({ name: "A again", joined_count: 9 });
    expect(rooms[A]).not.toHaveProperty("avatar");
  });

  /** A is left while out of scope; the answer that finally sends the leave. */
  async function leftOutOfScope(back: boolean): Promise<RoomAnswer | undefined> {
    const { client, pos, say } = await outOfScope();
    const { userId } = client.client;
    await t.deliver(client.client, v2({ leave: { [A]: { timeline: [ev.member(userId, "leave")] } } }));
    const join = { state: newRoom(ALICE), timeline: [ev.member(userId)], limited: true, prev_batch: "p" };
    if (back) await t.deliver(client.client, v2({ join: { [A]: join } }));
    await say(B, ev.message(ALICE));
    const third = await client.sync(top(), { pos });
    expect(Object.keys(third.rooms)).toEqual([B]);
    return (await client.sync(wide(), { pos: third.pos })).rooms[A];
  }

  it("M9 M23: a room that was left while out of scope is sent as left when the window reaches it", async () => {
    const told = await leftOutOfScope(false);
    expect(told).not.toHaveProperty("initial");
    expect(told?.["required_state"]).toMatchObject([{ type: "m.room.member", content: { membership: "leave" } }]);
  });

  it("M23 M33: left and joined again out of scope, it is initial", async () => {
    expect(await leftOutOfScope(true)).toMatchObject({ initial: true, limited: true });
  });

  it("M5 M23: what a room missed is known after a restart", async () => {
    const { client, pos, say } = await outOfScope();
    const missed = ev.message(ALICE);
    await say(A, missed);
    await say(B, ev.message(ALICE));
    const third = await client.sync(top(), { pos });
    await t.restart();
    const fourth = await client.sync(wide(), { pos: third.pos });
    expect([Object.keys(fourth.rooms), timelineIds(fourth.rooms[A])]).toEqual([[A], [missed.event_id]]);
  });
});
