import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ev, type Json, type MatrixEvent, newRoom, v2, type RoomParts } from "../support/fake-homeserver.ts";
import { ids, users } from "../support/rooms.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";

const ALICE = "@alice:test";
const BOB = "@bob:test";
let t: V3Fixture;
let rooms = 0;

beforeAll(async () => {
  t = await startV3();
});
afterAll(() => t.stop());

/** A new user in a room with these events, who follows it. `deliver` sends events to it, `next` asks with the newest token. */
async function follow(parts: RoomParts = { timeline: [ev.message(ALICE, "first")] }, params: Json = {}) {
  rooms += 1;
  const id = `!room${rooms}:test`;
  const me = `@me${rooms}:test`;
  const client = t.login(me, "PHONE", v2({ join: { [id]: { state: [...newRoom(ALICE), ev.member(me)], ...parts } } }));
  const first = await client.sync({ room: { room_id: id, ...params } });
  let { next } = first;
  return {
    id,
    me,
    client,
    first: first["room"].rooms[id],
    deliver: (...more: RoomParts[]) => t.deliver(client, ...more.map((one) => v2({ join: { [id]: one } }))),
    token: () => next,
    next: async (timeout = 0) => {
      const answer = await client.sync({}, { since: next, timeout });
      ({ next } = answer);
      return answer["room"]?.rooms?.[id];
    },
  };
}

const messages = (count: number) => Array.from({ length: count }, (_, n) => ev.message(ALICE, `m${n}`));
const typed = (events: MatrixEvent[], type: string) => events.filter((event) => event.type === type);

describe("deltas", () => {
  it("S4 TestStorageRoomStateBeforeAndAfterEventPosition: new events alone, with their senders, and what changed of the counts", async () => {
    const room = await follow();
    const event = ev.topic(ALICE, "t");
    await room.deliver({ timeline: [event], unread: { notification_count: 1 }, summary: { "m.joined_member_count": 5 } });
    const delta = await room.next();
    expect(ids(delta.timeline.events)).toEqual([event.event_id]);
    expect(delta).toEqual({
      members: { events: [expect.objectContaining({ state_key: ALICE })] },
      timeline: { events: [expect.anything()], limited: false, prev_batch: expect.any(String) },
      notification_count: 1,
      joined_count: 5,
    });
    expect(await room.next()).toBeUndefined();
  });

  it("S4 D10 I2: the same token again, the same events, and what came meanwhile", async () => {
    const room = await follow();
    const [a, b] = messages(2) as [MatrixEvent, MatrixEvent];
    const since = room.token();
    await room.deliver({ timeline: [a] });
    expect(ids((await room.client.sync({}, { since }))["room"].rooms[room.id].timeline.events)).toEqual([a.event_id]);
    await room.deliver({ timeline: [b] });
    expect(ids((await room.client.sync({}, { since }))["room"].rooms[room.id].timeline.events)).toEqual([a.event_id, b.event_id]);
  });

  it("S4: more than timeline_limit new ones: the newest, limited, and the state that changed in between", async () => {
    const room = await follow(undefined, { timeline_limit: 3 });
    const topic = ev.topic(ALICE, "in between");
    const name = ev.name(ALICE, "shown");
    const last = [ev.message(ALICE), name, ev.message(ALICE)];
    await room.deliver({ timeline: [topic, ...messages(4)] }, { timeline: last, prev_batch: "mid" });
    const delta = await room.next();
    expect(ids(delta.timeline.events)).toEqual(ids(last));
    expect(delta.timeline).toMatchObject({ limited: true, prev_batch: "mid" });
    expect(ids(delta.state.events)).toEqual([topic.event_id]);
  });

  it("S4 B33 TestGappyStateDoesNotAccumulateTheStateBlock TestCalculateNewSnapshotDupe: a gap upstream: limited, prev_batch, the state it changed", async () => {
    const room = await follow({ timeline: [ev.message(ALICE)], state: [...newRoom(ALICE), ev.topic(ALICE, "kept"), ev.name(ALICE, "old")] });
    const name = ev.name(ALICE, "changed in the gap");
    const after = messages(2);
    await room.deliver({ limited: true, prev_batch: "gap", state: [name], timeline: after });
    const delta = await room.next();
    expect(ids(delta.timeline.events)).toEqual(ids(after));
    expect(delta.timeline).toMatchObject({ limited: true, prev_batch: "gap" });
    expect(ids(delta.state.events)).toEqual([name.event_id]);
    const fresh = (await room.client.sync({ room: { room_id: room.id, timeline_limit: 2 } }))["room"].rooms[room.id];
    expect(typed(fresh.state.events, "m.room.name").map((event) => event.content["name"])).toEqual(["changed in the gap"]);
    expect(typed(fresh.state.events, "m.room.topic").map((event) => event.content["topic"])).toEqual(["kept"]);
    expect(ids(fresh.timeline.events)).toEqual(ids(after));
    expect(fresh.timeline.limited).toBe(true);
  });

  it("S4: a gap among several batches: nothing from before it", async () => {
    const room = await follow();
    const [a, b, c] = messages(3) as [MatrixEvent, MatrixEvent, MatrixEvent];
    await room.deliver({ timeline: [a] }, { limited: true, prev_batch: "gap", timeline: [b] }, { timeline: [c] });
    const delta = await room.next();
    expect(ids(delta.timeline.events)).toEqual(ids([b, c]));
    expect(delta.timeline).toMatchObject({ limited: true, prev_batch: "gap" });
  });

  it("B35 TestBackfillInviteDoesntCorruptState: an old, unseen event before known ones is no news, and rolls no state back", async () => {
    const newest = ev.topic(ALICE, "newest");
    const room = await follow({ timeline: [ev.message(ALICE), newest] });
    const next = ev.message(ALICE);
    await room.deliver({ timeline: [ev.topic(ALICE, "older"), newest, next] });
    expect(ids((await room.next()).timeline.events)).toEqual([next.event_id]);
    const fresh = (await room.client.sync({ room: { room_id: room.id } }))["room"].rooms[room.id];
    const topics = [...typed(fresh.state.events, "m.room.topic"), ...typed(fresh.timeline.events, "m.room.topic")];
    expect(topics.map((event) => event.content["topic"])).toEqual(["newest"]);
  });

  it("D7 I9: what concerns other rooms does not end the wait", async () => {
    const room = await follow();
    const waiting = room.next(30_000);
    await t.deliver(room.client, v2({ join: { "!other:test": { state: newRoom(BOB), timeline: [ev.message(BOB)] } } }));
    const event = ev.message(ALICE);
    await room.deliver({ timeline: [event] });
    expect(ids((await waiting).timeline.events)).toEqual([event.event_id]);
  });

  it("S4: a changed timeline_limit takes effect without a restart of the stream (D13)", async () => {
    const room = await follow();
    await room.deliver({ timeline: messages(5) });
    const delta = (await room.client.sync({ room: { timeline_limit: 2 } }, { since: room.token() }))["room"].rooms[room.id];
    expect(delta).not.toHaveProperty("initial");
    expect(delta.timeline.events).toHaveLength(2);
  });

  it("D25: messages of ignored users are left out, on reading", async () => {
    const room = await follow({ timeline: [ev.message(ALICE), ev.message(BOB)] });
    await t.deliver(
      room.client,
      v2({
        account_data: [{ type: "m.ignored_user_list", content: { ignored_users: { [BOB]: {} } } }],
        join: { [room.id]: { timeline: [ev.message(BOB), ev.message(ALICE)] } },
      }),
    );
    expect((await room.next()).timeline.events.map((event: MatrixEvent) => event.sender)).toEqual([ALICE]);
    const fresh = (await room.client.sync({ room: { room_id: room.id } }))["room"].rooms[room.id];
    expect(fresh.timeline.events.map((event: MatrixEvent) => event.sender)).toEqual([ALICE, ALICE]);
  });
});

it("I7: two users in a room both get each event, as their own v2 sync shows it; the transaction id goes to the device that sent it", async () => {
  const [a, b] = [await follow(), await follow()];
  const event = ev.message(a.me, "from a");
  const seen = (membership: string, more: Json = {}) => ({ ...event, unsigned: { membership, ...more } });
  await a.deliver({ timeline: [seen("join", { transaction_id: "txn" })] });
  await b.deliver({ timeline: [seen("knock")] });
  const [forA, forB] = [(await a.next()).timeline.events[0], (await b.next()).timeline.events[0]];
  expect(forA).toMatchObject({ event_id: event.event_id, unsigned: { membership: "join", transaction_id: "txn" } });
  expect(forB).toMatchObject({ event_id: event.event_id, unsigned: { membership: "knock" } });
  expect(forB.unsigned).not.toHaveProperty("transaction_id");
  const tablet = t.login(a.me, "TABLET");
  const other = (await tablet.sync({ room: { room_id: a.id } }))["room"].rooms[a.id].timeline.events.at(-1);
  expect(other.unsigned).toMatchObject({ membership: "join" });
  expect(other.unsigned).not.toHaveProperty("transaction_id");
});

describe("redactions", () => {
  it("S4 B48 TestEventTableRedact D10: the redaction arrives, and the event is never served unredacted again, whatever the token", async () => {
    const secret = ev.message(ALICE, "secret");
    const room = await follow({ timeline: [ev.message(ALICE)] });
    const before = room.token();
    await room.deliver({ timeline: [secret] });
    expect((await room.next()).timeline.events[0].content.body).toBe("secret");
    const redaction = ev.event("m.room.redaction", ALICE, { reason: "oops" }, { redacts: secret.event_id });
    await room.deliver({ timeline: [redaction] });
    expect(ids((await room.next()).timeline.events)).toEqual([redaction.event_id]);
    for (const answer of [await room.client.sync({}, { since: before }), await room.client.sync({ room: { room_id: room.id } })]) {
      expect(JSON.stringify(answer)).not.toContain("secret");
      const told = answer["room"].rooms[room.id].timeline.events.find((event: MatrixEvent) => event.event_id === secret.event_id);
      expect(told).toMatchObject({ content: {}, unsigned: { redacted_because: { event_id: redaction.event_id } } });
    }
  });

  it("S4 B48: of state: a redacted name is gone from the state and from the room's name", async () => {
    const name = ev.name(ALICE, "secret");
    const room = await follow({ state: [...newRoom(ALICE), name], timeline: [ev.message(ALICE)] });
    await room.deliver({ timeline: [ev.event("m.room.redaction", ALICE, {}, { redacts: name.event_id })] });
    const fresh = await room.client.sync({ room: { room_id: room.id }, room_list: {} });
    expect(JSON.stringify(fresh)).not.toContain("secret");
    expect(typed(fresh["room"].rooms[room.id].state.events, "m.room.name")[0]?.content).toEqual({});
  });
});

describe("leaving", () => {
  for (const [how, byMe, membership] of [
    ["leaving", true, "leave"],
    ["a kick", false, "leave"],
    ["a ban", false, "ban"],
  ] as const) {
    it(`D18 S4 B39: ${how}: a last update ends with the own leave event, the error is sent once, a join starts it`, async () => {
      const room = await follow();
      const said = ev.message(ALICE, "bye");
      const left = ev.member(room.me, membership, {}, { sender: byMe ? room.me : ALICE });
      await t.deliver(room.client, v2({ leave: { [room.id]: { timeline: [said, left] } } }));
      const last = await room.client.sync({}, { since: room.token() });
      expect(ids(last["room"].rooms[room.id].timeline.events)).toEqual(ids([said, left]));
      expect(last["room"].errcode).toBe("M_FORBIDDEN");
      const waiting = room.client.sync({}, { since: last.next, timeout: 30_000 });
      await t.deliver(room.client, v2({ join: { "!z:test": { state: newRoom(BOB) } } }));
      await room.deliver({ state: newRoom(ALICE), timeline: [ev.member(room.me)] });
      const again = await waiting;
      expect(again["room"].rooms[room.id]).toMatchObject({ initial: true, timeline: { limited: true } });
      expect(again["room"]).not.toHaveProperty("errcode");
    });
  }

  it("D18 S4: the own leave comes beside a timeline that filters it out", async () => {
    const room = await follow(undefined, { types: ["m.room.message"] });
    const left = ev.member(room.me, "leave");
    await t.deliver(room.client, v2({ leave: { [room.id]: { timeline: [left] } } }));
    const last = await room.client.sync({}, { since: room.token() });
    expect(users(last["room"].rooms[room.id].members.events)).toEqual([room.me]);
    expect(last["room"].rooms[room.id].members.events[0].content.membership).toBe("leave");
  });

  it("D18: leaving and joining between two requests starts the room from scratch", async () => {
    const room = await follow();
    await t.deliver(room.client, v2({ leave: { [room.id]: { timeline: [ev.member(room.me, "leave")] } } }));
    const rejoined = ev.member(room.me);
    await room.deliver({ state: [...newRoom(ALICE), ev.topic(ALICE, "anew")], timeline: [rejoined] });
    const answer = await room.next();
    expect(answer.initial).toBe(true);
    expect(ids(answer.timeline.events)).toEqual([rejoined.event_id]);
    expect(typed(answer.state.events, "m.room.topic")).toHaveLength(1);
  });

  it("B39 TestStorageJoinedRoomsAfterPosition: only joined rooms are sent: not invited, left or banned ones", async () => {
    const me = "@standing:test";
    const client = t.login(
      me,
      "PHONE",
      v2({
        join: { "!j:test": { state: newRoom(ALICE), timeline: [ev.member(me)] } },
        invite: { "!i:test": [ev.member(me, "invite", {}, { sender: ALICE })] },
        leave: { "!l:test": { timeline: [ev.member(me, "leave")] }, "!b:test": { timeline: [ev.member(me, "ban", {}, { sender: ALICE })] } },
      }),
    );
    const list = await client.sync({ room_list: {} });
    expect(list["room_list"].rooms.map((room: Json) => room["room_id"])).toEqual(["!j:test"]);
    for (const id of ["!i:test", "!l:test", "!b:test"]) {
      const told = await client.sync({ room: { room_id: id }, room_members: { room_id: id } });
      expect([told["room"].errcode, told["room_members"].errcode]).toEqual(["M_FORBIDDEN", "M_FORBIDDEN"]);
    }
  });
});
