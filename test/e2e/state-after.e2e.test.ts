/** T21 with a Synapse that gives the state after the timelines (MSC4222). */

import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { EveryFace, type FaceAnswers } from "../support/every-face.ts";
import type { MatrixEvent } from "../support/fake-homeserver.ts";
import { Front } from "../support/front.ts";
import { HomeserverTap } from "../support/homeserver-tap.ts";
import { startSynapse, type Synapse } from "../support/synapse.ts";
import type { TestUser } from "../support/synapse-api.ts";

let synapse: Synapse;
let tap: HomeserverTap;
let database: TestDatabase;
let front: Front;
beforeAll(async () => {
  [synapse, database] = await Promise.all([startSynapse({ more: { experimental_features: { msc4222_enabled: true } } }), freshDatabase()]);
  tap = await new HomeserverTap(synapse.url).start();
  front = await new Front(tap.url, database.options).start();
});
afterAll(async () => {
  await front.stop();
  await tap.stop();
  await synapse.stop();
  await database.drop();
});

let made = 0;
/** Two users in a room with a topic; the first one's client, that has had it. */
async function scene() {
  made += 1;
  const [me, bob] = [await synapse.users.registerUser(`me${made}`), await synapse.users.registerUser(`bob${made}`)];
  const room = await bob.createRoom({ preset: "public_chat", name: "here", topic: "first" });
  await me.join(room);
  const face = new EveryFace(front.client(me), room);
  await face.next();
  return { me, bob, room, face };
}

/** What each API sends of the room until all have sent that event: the topic and the name in the end. */
async function until(face: EveryFace, room: string, eventId: string) {
  const seen = { unstable: new Map<string, unknown>(), v4: new Map<string, unknown>(), v3: new Map<string, unknown>() };
  for (;;) {
    // oxlint-disable-next-line no-await-in-loop -- each continues the one before
    const answers = await face.next();
    for (const api of ["unstable", "v4", "v3"] as const) {
      const { state, timeline } = partsOf(answers, api, room);
      for (const { type, state_key, content } of state) if (state_key === "") seen[api].set(type, content["topic"] ?? content["name"]);
      if (timeline.some((event) => event.event_id === eventId)) seen[api].set("reached", true);
    }
    if (Object.values(seen).every((api) => api.has("reached"))) return seen;
  }
}

function partsOf(answers: FaceAnswers, api: keyof FaceAnswers, room: string): { state: MatrixEvent[]; timeline: MatrixEvent[] } {
  if (api === "v3") {
    const entry = (answers.v3["room_list"]?.rooms as { room_id: string; state_events?: MatrixEvent[]; timeline?: MatrixEvent[] }[] | undefined)?.find(
      ({ room_id }) => room_id === room,
    );
    return { state: entry?.state_events ?? [], timeline: entry?.timeline ?? [] };
  }
  const entry = answers[api].rooms[room];
  return { state: (entry?.["required_state"] ?? []) as MatrixEvent[], timeline: (entry?.["timeline"] ?? []) as MatrixEvent[] };
}

/** Has the room's topic changed without an event, as by a state reset: it comes to be that of the event, with the next one that is sent. */
async function resetTopic(room: string, eventId: string): Promise<void> {
  await synapse.restart(async () => {
    const db = new DatabaseSync(join(synapse.directory, "homeserver.db"));
    const now = db.prepare("select event_id from current_state_events where room_id = ? and type = 'm.room.topic'").get(room);
    const position = db.prepare("select max(stream_ordering) + 1 as next from events").get();
    db.prepare("update current_state_events set event_id = ? where room_id = ? and type = 'm.room.topic'").run(eventId, room);
    db.prepare(
      "insert into current_state_delta_stream (stream_id, room_id, type, state_key, event_id, prev_event_id, instance_name) values (?, ?, 'm.room.topic', '', ?, ?, 'master')",
    ).run(Number(position?.["next"]), room, eventId, String(now?.["event_id"]));
    db.close();
  });
}

async function topicEvent(user: TestUser, room: string): Promise<string> {
  const { event_id: id } = await user.call<{ event_id: string }>("GET", `/rooms/${encodeURIComponent(room)}/state/m.room.topic?format=event`);
  return id;
}

it("T21: Synapse gives it to our polls, and ordinary changes of state are what they were", async () => {
  const { me, bob, room, face } = await scene();
  await bob.setState(room, "m.room.topic", "", { topic: "second" });
  await bob.setState(room, "m.room.name", "", { name: "there" });
  const last = await bob.send(room, "last");
  const topics = await until(face, room, last);
  const expected = { "m.room.topic": "second", "m.room.name": "there", reached: true };
  for (const seen of Object.values(topics)) expect(Object.fromEntries(seen)).toMatchObject(expected);
  const polls = tap.requests.filter(({ path, query }) => path.endsWith("/sync") && query.has("since"));
  expect(polls.every(({ query }) => query.get("org.matrix.msc4222.use_state_after") === "true")).toBe(true);
  const answer = await me.call<{ rooms: { join: Record<string, object> } }>("GET", "/sync?org.matrix.msc4222.use_state_after=true");
  expect(Object.keys(answer.rooms.join[room] ?? {})).toContain("org.matrix.msc4222.state_after");
});

it("T21: a state reset is sent as a change by every API, and to a new client", async () => {
  const { me, bob, room, face } = await scene();
  const first = await topicEvent(bob, room);
  await bob.setState(room, "m.room.topic", "", { topic: "second" });
  await until(face, room, await bob.send(room, "before"));
  await resetTopic(room, first);
  const topics = await until(face, room, await bob.send(room, "after"));
  for (const seen of Object.values(topics)) expect(seen.get("m.room.topic")).toBe("first");
  expect(await topicEvent(me, room)).toBe(first);
  const whole = await face.whole();
  for (const api of ["unstable", "v4", "v3"] as const) {
    const topic = partsOf(whole, api, room).state.find(({ type }) => type === "m.room.topic");
    expect(topic?.event_id, api).toBe(first);
  }
}, 60_000);

it("T21: what a newly joined room's timeline replaced is fetched, and is in the state before it (S4)", async () => {
  const { me, bob } = await scene();
  const room = await bob.createRoom({ preset: "public_chat", topic: "at first" });
  // oxlint-disable-next-line no-await-in-loop -- in an order
  for (let n = 0; n < 55; n += 1) await bob.send(room, `message ${n}`);
  await bob.setState(room, "m.room.topic", "", { topic: "at last" });
  await me.join(room);
  const client = front.client(me);
  let topics: unknown[] = [];
  while (topics[0] !== "at first") {
    // oxlint-disable-next-line no-await-in-loop -- until it has been fetched
    const { room: told } = await client.sync({ room: { room_id: room, timeline_limit: 10, state: [["m.room.topic", ""]] } });
    const { state } = (told?.rooms?.[room] ?? {}) as { state?: { events: MatrixEvent[] } };
    topics = (state?.events ?? []).map(({ content }) => content["topic"]);
  }
  expect(topics).toEqual(["at first"]);
});

it("T21: own and other memberships, also where the last user of the homeserver leaves", async () => {
  const { me, bob, room, face } = await scene();
  const carol = await synapse.users.registerUser(`carol${made}`);
  await carol.join(room);
  await bob.kick(room, carol.userId);
  const sent = await bob.send(room, "carol was here");
  await until(face, room, sent);
  const { v3 } = await face.whole();
  const members = (v3["room_members"]?.events ?? []) as MatrixEvent[];
  expect(
    members
      .filter(({ content }) => content["membership"] === "join")
      .map((event) => event.state_key)
      .toSorted(),
  ).toEqual([bob.userId, me.userId]);
  await bob.leave(room);
  await me.leave(room);
  let left: unknown;
  // oxlint-disable-next-line no-await-in-loop -- each continues the one before
  while (left !== "leave") left = (await face.next()).v4.rooms[room]?.["membership"];
  await me.join(room).catch(() => {});
});
