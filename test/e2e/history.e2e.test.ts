/** Paging back from every `prev_batch`, at a real homeserver with several writers at once. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Front } from "../support/front.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import { SlidingClient } from "../support/sliding.ts";
import type { TestUser } from "../support/synapse-api.ts";

const { url: homeserver, users } = sharedSynapse();
const SEED = Number(process.env["SYNCV3_TEST_SEED"] ?? Date.now() % 1_000_000);
let database: TestDatabase;
let front: Front;

beforeAll(async () => {
  database = await freshDatabase();
  front = await new Front(homeserver, database.options, { publicUrl: "https://matrix.example.org" }).start();
});
afterAll(async () => {
  await front.stop();
  await database.drop();
});

/** The same numbers for the same seed: whole, from 0 to below `below`. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return Math.floor((state / 2_147_483_648) * below);
  };
}

/** A `prev_batch` and the events that it came with. */
type Sent = { readonly reader: TestUser; readonly prevBatch: string; readonly ids: readonly string[] };

/** Asks for the newest events of a room through one of the APIs, and again for what is new since then. */
type Reader = { readonly user: TestUser; readonly ask: (limit: number) => Promise<Sent | null> };

function v3Reader(user: TestUser, roomId: string): Reader {
  const client = front.client(user);
  let since: string | undefined;
  return {
    user,
    async ask(limit) {
      const answer = await client.sync({ room: { room_id: roomId, timeline_limit: limit } }, { since });
      since = answer.next;
      const timeline = answer["room"]?.rooms?.[roomId]?.timeline as { events: { event_id: string }[]; prev_batch: string } | undefined;
      return timeline ? { reader: user, prevBatch: timeline.prev_batch, ids: timeline.events.map(({ event_id }) => event_id) } : null;
    },
  };
}

function slidingReader(user: TestUser, roomId: string, dialect: "unstable" | "v4"): Reader {
  const client = new SlidingClient(front.client(user), dialect);
  let pos: string | undefined;
  return {
    user,
    async ask(limit) {
      const answer = await client.sync({ subs: { [roomId]: { limit } } }, { ...(pos !== undefined && { pos }) });
      pos = answer.pos;
      const room = answer.rooms[roomId] as { timeline?: { event_id: string }[]; prev_batch?: string } | undefined;
      return room?.prev_batch === undefined
        ? null
        : { reader: user, prevBatch: room.prev_batch, ids: (room.timeline ?? []).map(({ event_id }) => event_id) };
    },
  };
}

/** Ids of all events before a token, the newest first, through our server; without a token of all events. */
async function pagedBack(user: TestUser, url: string, roomId: string, from: string | null, limit = 100): Promise<string[]> {
  const ids: string[] = [];
  for (let token = from, first = true; first || token !== null; first = false) {
    const query = new URLSearchParams({ dir: "b", limit: String(first ? limit : 100), ...(token !== null && { from: token }) });
    // oxlint-disable-next-line no-await-in-loop -- one page after the other
    const page = await user
      .at(url)
      .call<{ chunk: { event_id: string }[]; end?: string }>("GET", `/rooms/${encodeURIComponent(roomId)}/messages?${query.toString()}`);
    ids.push(...page.chunk.map(({ event_id }) => event_id));
    token = page.end ?? null;
  }
  return ids;
}

/** Messages of all writers at the same time. */
async function burst(writers: readonly TestUser[], roomId: string, count: number, content: Parameters<TestUser["send"]>[1]): Promise<void> {
  await Promise.all(
    writers.map(async (writer, index) => {
      // oxlint-disable-next-line no-await-in-loop -- each writes one after the other, all at the same time
      for (let i = index; i < count; i += writers.length) await writer.send(roomId, content);
    }),
  );
}

/** All events of a room in the order in which v2 tells them to somebody who misses nothing. */
async function witnessed(witness: TestUser, roomId: string, since: string | null): Promise<{ ids: string[]; since: string }> {
  const filter = JSON.stringify({ room: { rooms: [roomId], timeline: { limit: 100 } } });
  const query = new URLSearchParams({ filter, ...(since !== null && { since }) });
  type Timeline = { events: { event_id: string }[]; limited: boolean };
  const answer = await witness.call<{ next_batch: string; rooms?: { join?: Record<string, { timeline: Timeline }> } }>(
    "GET",
    `/sync?${query.toString()}`,
  );
  const timeline = answer.rooms?.join?.[roomId]?.timeline;
  if (since !== null) expect(timeline?.limited ?? false).toBe(false);
  return { ids: timeline?.events.map(({ event_id }) => event_id) ?? [], since: answer.next_batch };
}

async function makeRoom(label: string, names: readonly string[]): Promise<{ roomId: string; members: TestUser[] }> {
  const members: TestUser[] = [];
  for (const name of names) members.push(await users.registerUser(`t20-${label}-${name}`));
  const [owner, ...others] = members as [TestUser, ...TestUser[]];
  const roomId = await owner.createRoom({ preset: "public_chat" });
  for (const other of others) await other.join(roomId);
  return { roomId, members };
}

/** What a page back from a token must give: each event that came before the first one that was sent, and no other. */
async function expectExact(sent: Sent, roomId: string, inOrder: readonly string[], limit: number): Promise<void> {
  const [first = ""] = sent.ids;
  const paged = await pagedBack(sent.reader, front.url, roomId, sent.prevBatch, limit);
  const expected = sent.ids.length === 0 ? paged : inOrder.slice(0, inOrder.indexOf(first));
  expect({ token: sent.prevBatch, ids: paged.toSorted() }).toEqual({ token: sent.prevBatch, ids: expected.toSorted() });
}

/** Bursts of the random history. */
const ROUNDS = 4;

describe(`T20: prev_batch (seed ${SEED})`, () => {
  it("T20: random bursts of several writers, limits, gaps and readers: back from every prev_batch exactly what is older", async () => {
    const next = numbers(SEED);
    const { roomId, members } = await makeRoom("random", ["w1", "w2", "w3", "v3", "unstable", "v4", "witness"]);
    const [w1, w2, w3, v3, unstable, v4, witness] = members as [TestUser, TestUser, TestUser, TestUser, TestUser, TestUser, TestUser];
    const writers = [w1, w2, w3, v3];
    const readers = [v3Reader(v3, roomId), slidingReader(unstable, roomId, "unstable"), slidingReader(v4, roomId, "v4")];
    const inOrder = (await pagedBack(witness, homeserver, roomId, null)).toReversed();
    let { since } = await witnessed(witness, roomId, null);
    const tokens: Sent[] = [];
    for (const reader of readers) tokens.push((await reader.ask(5)) ?? expect.fail("nothing was sent"));
    for (let round = 0; round < ROUNDS; round += 1) {
      const away = next(2) === 0;
      if (away) await front.stop();
      await burst(writers, roomId, 1 + next(60), `round ${round}`);
      if (away) await front.start();
      const seen = await witnessed(witness, roomId, since);
      ({ since } = seen);
      inOrder.push(...seen.ids);
      for (const reader of readers) {
        const limit = 1 + next(25);
        // Until the last event has come through.
        for (let sent = await reader.ask(limit); ; sent = await reader.ask(limit)) {
          if (sent && sent.ids.length > 0) tokens.push(sent);
          if (sent?.ids.at(-1) === inOrder.at(-1)) break;
          await new Promise((resolve) => void setTimeout(resolve, 20));
        }
      }
    }
    // Each reader was sent something at first and in each round.
    expect(tokens.length).toBeGreaterThanOrEqual(readers.length * (1 + ROUNDS));
    for (const sent of tokens) await expectExact(sent, roomId, inOrder, 5 + next(60));
  });

  it("T20: a token of ours is a place in both directions, as `from` and as `to`, and in /relations", async () => {
    const { roomId, members } = await makeRoom("directions", ["one", "two", "three", "witness"]);
    const [one, two, three, witness] = members as [TestUser, TestUser, TestUser, TestUser];
    const root = await one.send(roomId, "root");
    const reader = slidingReader(one, roomId, "unstable");
    await reader.ask(1);
    const related = { msgtype: "m.text", body: "related", "m.relates_to": { rel_type: "m.reference", event_id: root } };
    await front.stop();
    await burst([one, two, three], roomId, 36, related);
    await front.start();
    const inOrder = (await pagedBack(witness, homeserver, roomId, null)).toReversed();
    let sent = await reader.ask(20);
    while (sent?.ids.at(-1) !== inOrder.at(-1)) sent = await reader.ask(20);
    const token = sent?.prevBatch ?? "";
    expect(token).toMatch(/^syncv3~/);
    const at = inOrder.indexOf(sent?.ids[0] ?? "");
    const room = `/_matrix/client/v1/rooms/${encodeURIComponent(roomId)}`;
    const paged = async (path: string, query: Record<string, string>): Promise<string[]> => {
      const page = await one.at(front.url).call<{ chunk: { event_id: string }[] }>("GET", `${path}?${new URLSearchParams(query).toString()}`);
      return page.chunk.map(({ event_id }) => event_id).toSorted();
    };
    const messages = `/rooms/${encodeURIComponent(roomId)}/messages`;
    expect(await paged(messages, { dir: "f", from: token, limit: "100" })).toEqual(inOrder.slice(at).toSorted());
    expect(await paged(messages, { dir: "b", to: token, limit: "100" })).toEqual(inOrder.slice(at).toSorted());
    expect(await paged(messages, { dir: "f", to: token, limit: "100" })).toEqual(inOrder.slice(0, at).toSorted());
    const relations = inOrder.slice(inOrder.indexOf(root) + 1, at);
    expect(relations.length).toBeGreaterThan(10);
    expect(await paged(`${room}/relations/${encodeURIComponent(root)}`, { dir: "b", from: token, limit: "100" })).toEqual(relations.toSorted());
  });
});
