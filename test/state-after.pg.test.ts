/** A homeserver whose answers have the state after the timelines (MSC4222): what each API sends, as it happens and from scratch (T21). */

import { describe, expect, test, vi } from "vitest";
import { EveryFace, type FaceAnswers } from "./support/every-face.ts";
import { ev, type Json, type MatrixEvent, newRoom, type RoomParts, v2 } from "./support/fake-homeserver.ts";
import { type V3Client, v3Server } from "./support/v3.ts";

const t = v3Server();
const BOB = "@bob:test";
const NAMES = ["state_after", "org.matrix.msc4222.state_after"] as const;
const ASKED_UNSTABLE = "org.matrix.msc4222.use_state_after";
let rooms = 0;

type Room = { readonly id: string; readonly me: string; readonly client: V3Client; readonly face: EveryFace };

/** A new user's room with Bob, by an answer of the older form; every API has sent it. */
async function roomWithBob(...state: MatrixEvent[]): Promise<Room> {
  rooms += 1;
  const [id, me] = [`!after${rooms}:test`, `@me${rooms}:test`];
  const section = { state: [...newRoom(BOB), ev.member(me), ...state], timeline: [ev.message(BOB)], summary: { "m.joined_member_count": 2 } };
  const client = t.login(me, "PHONE", v2({ join: { [id]: section } }));
  t.hs.on("GET", `/_matrix/client/v3/rooms/:room/messages`, { body: { chunk: [], start: "p" } });
  const face = new EveryFace(client, id);
  await face.next();
  await t.hs.waitForPoll(client.token);
  return { id, me, client, face };
}

/** The homeserver sends the room in the newer form, under either name; what each API sends then, as news and from scratch. */
async function after(room: Room, to: "join" | "leave", parts: RoomParts & { state_after: MatrixEvent[] }, name: (typeof NAMES)[number] = NAMES[0]) {
  const answer = JSON.stringify(v2({ [to]: { [room.id]: parts } })).replace('"state_after"', JSON.stringify(name));
  await t.deliver(room.client, JSON.parse(answer) as Json);
  return { next: await room.face.next(), whole: await room.face.whole() };
}

/** The event of a type and key that each API sends as state. */
function stateIn({ unstable, v4, v3 }: FaceAnswers, room: Room, type: string, key = ""): (string | undefined)[] {
  const lists = [unstable.rooms[room.id]?.["required_state"], v4.rooms[room.id]?.["required_state"], listEntry(v3, room)?.["state_events"]];
  return lists.map((events) => ((events ?? []) as MatrixEvent[]).find((event) => event.type === type && event.state_key === key)?.event_id);
}

function listEntry(v3: FaceAnswers["v3"], room: Room): Json | undefined {
  return (v3["room_list"]?.rooms as Json[] | undefined)?.find(({ room_id }) => room_id === room.id);
}

const thrice = <T>(value: T): T[] => [value, value, value];

describe("T21: state after the timeline", () => {
  test.each(NAMES)("%s: state that changed without an event is sent as a change by every API", async (name) => {
    const room = await roomWithBob(ev.topic(BOB, "before"), ev.name(BOB, "before"));
    const [topic, title, gone] = [ev.topic(BOB, "reset"), ev.name(BOB, "reset"), ev.member(BOB, "leave")];
    const parts = { timeline: [ev.message(room.me)], state_after: [topic, title, gone], summary: { "m.joined_member_count": 1 } };
    const { next, whole } = await after(room, "join", parts, name);
    for (const answers of [next, whole]) {
      expect(stateIn(answers, room, "m.room.topic")).toEqual(thrice(topic.event_id));
      expect(stateIn(answers, room, "m.room.member", BOB).at(2)).toBe(gone.event_id);
      expect(answers.unstable.rooms[room.id]).toMatchObject({ name: "reset", joined_count: 1 });
      expect(answers.v4.rooms[room.id]).toMatchObject({ name: "reset", joined_count: 1 });
      expect(listEntry(answers.v3, room)).toMatchObject({ name: "reset", joined_count: 1 });
    }
    expect(stateOfRoom(next, room)).toEqual([title.event_id, topic.event_id]);
  });

  test("a state event of the timeline that is not in the state after it is sent in the timeline alone, by every API", async () => {
    const [topic, title] = [ev.topic(BOB, "stays"), ev.name(BOB, "stays")];
    const room = await roomWithBob(topic, title);
    const overruled = [ev.topic(BOB, "overruled"), ev.name(BOB, "overruled"), ev.member(BOB, "leave")];
    const { next, whole } = await after(room, "join", { timeline: overruled, state_after: [] });
    for (const answers of [next, whole]) {
      expect(answers.unstable.rooms[room.id]?.["timeline"]).toEqual(expect.arrayContaining(overruled.map(shown)));
      expect(answers.v4.rooms[room.id]?.["timeline"]).toEqual(expect.arrayContaining(overruled.map(shown)));
      expect(listEntry(answers.v3, room)?.["timeline"]).toEqual(expect.arrayContaining(overruled.map(shown)));
    }
    for (const event of (next.v3["room"].rooms[room.id].timeline.events as MatrixEvent[]).filter(({ state_key }) => state_key !== undefined)) {
      expect(event["unsigned"]).toMatchObject({ "syncv3.overruled": true });
    }
    expect(stateIn(next, room, "m.room.topic")).toEqual(thrice(undefined));
    expect(stateIn(whole, room, "m.room.topic")).toEqual(thrice(topic.event_id));
    expect(listEntry(whole.v3, room)).toMatchObject({ name: "stays", joined_count: 2 });
    for (const { rooms: shownRooms } of [whole.unstable, whole.v4]) expect(shownRooms[room.id]).toMatchObject({ name: "stays", joined_count: 2 });
  });

  test("events of the timeline that are in the state after it set it, in their order, as ever", async () => {
    const room = await roomWithBob(ev.topic(BOB, "before"));
    const [one, two] = [ev.topic(BOB, "one"), ev.topic(BOB, "two")];
    const { next, whole } = await after(room, "join", { timeline: [one, ev.message(BOB), two], state_after: [two] });
    for (const answers of [next, whole]) expect(stateIn(answers, room, "m.room.topic")).toEqual(thrice(two.event_id));
  });

  test("the own membership follows state that changed without an event", async () => {
    const room = await roomWithBob();
    const gone = ev.member(room.me, "ban", {}, { sender: BOB });
    const { next } = await after(room, "leave", { state_after: [gone] });
    expect(stateIn(next, room, "m.room.member", room.me).slice(0, 2)).toEqual([gone.event_id, gone.event_id]);
    expect(next.v4.rooms[room.id]).toMatchObject({ membership: "ban" });
    expect(next.v3["room_list"].removed).toEqual([room.id]);
  });

  test("the own leave counts although the state after it does not have it", async () => {
    const room = await roomWithBob();
    const gone = ev.member(room.me, "leave", {}, { sender: BOB });
    const { next } = await after(room, "leave", { timeline: [gone], state_after: [] });
    expect(stateIn(next, room, "m.room.member", room.me).slice(0, 2)).toEqual([gone.event_id, gone.event_id]);
  });
});

/** An event as a timeline has it, whatever else is in it. */
function shown({ event_id }: MatrixEvent): unknown {
  return expect.objectContaining({ event_id });
}

/** The events that sync v3's room stream sends as state. */
function stateOfRoom({ v3 }: FaceAnswers, room: Room): string[] {
  return (v3["room"].rooms[room.id].state.events as MatrixEvent[]).map((event) => event.event_id);
}

test("the homeserver is asked for it under both names, by every poll of rooms but the first", async () => {
  const { client } = await roomWithBob();
  const asked = t.hs.polls(client.token).map(({ query }) => [query.get("since"), query.get("use_state_after"), query.get(ASKED_UNSTABLE)]);
  expect(asked[0]).toEqual([null, null, null]);
  expect(asked.length).toBeGreaterThan(1);
  for (const poll of asked.slice(1)) expect(poll).toEqual([expect.any(String), "true", "true"]);
});

test("what a timeline replaced and no answer brought is fetched, and is in the state before it (S4)", async () => {
  const { client } = await roomWithBob();
  rooms += 1;
  const id = `!after${rooms}:test`;
  const [topic, member] = [ev.topic(BOB, "before"), ev.member(BOB, "join", { displayname: "Bob" })];
  t.hs.on("GET", "/_matrix/client/v3/rooms/:room/event/:event", ({ params }) => {
    const event = [topic, member].find(({ event_id }) => event_id === params["event"]);
    return event ? { body: { ...event, room_id: params["room"] } } : { status: 404, body: { errcode: "M_NOT_FOUND" } };
  });
  const over = (replaced: string) => ({ unsigned: { replaces_state: replaced, prev_content: {} } });
  const [changed, gone] = [ev.topic(BOB, "after", over(topic.event_id)), ev.member(BOB, "leave", {}, over(member.event_id))];
  const unknown = ev.name(BOB, "unknown", over("$unknown"));
  const own = ev.member(client.userId);
  const state = [ev.create(BOB), own, changed, gone, unknown];
  const parts = { timeline: [ev.message(BOB), changed, unknown, gone, own], state_after: state, limited: true, prev_batch: "p" };
  await t.deliver(client, v2({ join: { [id]: parts } }));
  await t.hs.waitForRequest({ path: /\/event\// }, 3);
  const shownState = async (): Promise<string[]> => {
    const { room } = await client.sync({
      room: {
        room_id: id,
        timeline_limit: 5,
        state: [
          ["m.room.topic", ""],
          ["m.room.member", BOB],
        ],
      },
    });
    return (room.rooms[id].state.events as MatrixEvent[]).map((event) => event.event_id).toSorted();
  };
  await vi.waitFor(async () => expect(await shownState()).toEqual([topic.event_id, member.event_id].toSorted()), { timeout: 20_000, interval: 200 });
});
