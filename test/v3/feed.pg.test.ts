import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { ev, type FakeRequest, type Fault, type Json, type MatrixEvent, newRoom, v2 } from "../support/fake-homeserver.ts";
import { FeedReader, FeedRoom, saidBy } from "../support/feed.ts";
import { refuse } from "../support/refusing.ts";
import { ids } from "../support/rooms.ts";
import { SlidingClient } from "../support/sliding.ts";
import { startV3, type V3Client, type V3Fixture } from "../support/v3.ts";

const BOB = "@bob:test";
let t: V3Fixture;
let scenes = 0;

beforeAll(async () => {
  t = await startV3({ supervision: { feedGapsMs: 20 } });
});
afterAll(() => t.stop());

/** A user in two rooms. */
async function scene() {
  scenes += 1;
  const me = `@me${scenes}:test`;
  const [a, b] = ["a", "b"].map((name) => new FeedRoom(t.hs, `!${name}${scenes}:test`, [...newRoom(BOB), ev.member(me), ev.message(BOB, "before")]));
  if (!a || !b) throw new Error("two rooms");
  const first = Object.fromEntries([a, b].map((room) => [room.id, { timeline: room.all, prev_batch: "h0" }]));
  const client = t.login(me, "BOT", v2({ join: first }));
  await client.sync();
  await t.hs.waitForPoll(client.token);
  return { me, a, b, client };
}

const messages = (count: number, name = "m") => Array.from({ length: count }, (_, n) => ev.message(BOB, `${name}${n}`));
const deliver = (client: V3Client, ...answers: Json[]) => t.deliver(client, ...answers);

describe("M85: the feed", () => {
  it("M85: has every event that comes after the session's first request, of all rooms, in the order in which they came", async () => {
    const { a, b, client } = await scene();
    const feed = await FeedReader.start(client);
    expect(feed.entries).toEqual([]);
    const [one, two, three] = [messages(2), messages(1), [ev.topic(BOB, "t"), ...messages(1)]];
    await deliver(client, v2({ join: { [a.id]: a.next(one) } }), v2({ join: { [b.id]: b.next(two) } }), v2({ join: { [a.id]: a.next(three) } }));
    await feed.until(5);
    expect(saidBy(feed.entries)).toEqual(ids([...one, ...two, ...three]));
    expect(feed.entries.map(({ event }) => event?.room_id)).toEqual([a.id, a.id, b.id, a.id, a.id]);
    const places = feed.entries.map(({ place }) => place);
    expect(places).toEqual(places.toSorted((x, y) => x - y));
    expect(new Set(places).size).toBe(5);
  });

  it("M85: a request waits until there is something, and for its rooms alone", async () => {
    const { a, b, client } = await scene();
    const feed = await FeedReader.start(client, { rooms: [a.id] });
    const waiting = feed.read({}, { timeout: 30_000 });
    await deliver(client, v2({ join: { [b.id]: b.next(messages(1)) } }));
    const wanted = messages(1);
    await deliver(client, v2({ join: { [a.id]: a.next(wanted) } }));
    expect(saidBy(await waiting)).toEqual(ids(wanted));
  });

  it("M85: other rooms count from where the feed is, which does not start again", async () => {
    const { a, b, client } = await scene();
    const feed = await FeedReader.start(client, { rooms: [a.id] });
    const [ofA, ofB] = [messages(1), messages(1)];
    await deliver(client, v2({ join: { [a.id]: a.next(ofA), [b.id]: b.next(ofB) } }));
    expect(saidBy(await feed.read({ feed: { rooms: null } })).toSorted()).toEqual(ids([...ofA, ...ofB]).toSorted());
  });

  it("M85: `limit` entries at a time; the rest comes at once with the next requests", async () => {
    const { a, client } = await scene();
    const feed = await FeedReader.start(client, { limit: 3 });
    const events = messages(8);
    await deliver(client, v2({ join: { [a.id]: a.next(events) } }));
    const sizes = [];
    for (let n = 0; n < 4; n += 1) sizes.push((await feed.read()).length);
    expect(sizes).toEqual([3, 3, 2, 0]);
    expect(saidBy(feed.entries)).toEqual(ids(events));
  });

  it("M85: a room that is joined later starts with the own join", async () => {
    const { me, client } = await scene();
    const feed = await FeedReader.start(client);
    const room = new FeedRoom(t.hs, `!later${scenes}:test`, []);
    const [join, after] = [ev.member(me), messages(2)];
    const history = [...newRoom(BOB), ...messages(2), join, ...after];
    await deliver(client, v2({ join: { [room.id]: room.next(history) } }));
    await feed.until(3);
    expect(saidBy(feed.entries)).toEqual(ids([join, ...after]));
  });

  it("M85: also where v2's timeline does not reach back to it", async () => {
    const { me, client } = await scene();
    const feed = await FeedReader.start(client);
    const room = new FeedRoom(t.hs, `!far${scenes}:test`, []);
    const [join, after] = [
      ev.member(me),
      [ev.member(me, "join", { displayname: "x" }, { unsigned: { prev_content: { membership: "join" } } }), ...messages(150)],
    ];
    await deliver(client, v2({ join: { [room.id]: { ...room.next([...newRoom(BOB), ...messages(2), join, ...after], 5), limited: true } } }));
    await feed.until(1 + after.length);
    expect(saidBy(feed.entries)).toEqual(ids([join, ...after]));
  });

  it("M85: a room that was left ends with what v2 says of it; a declined invite is none", async () => {
    const { me, a, client } = await scene();
    const feed = await FeedReader.start(client);
    const last = [...messages(1), ev.member(me, "leave", {}, { unsigned: { prev_content: { membership: "join" } } })];
    const declined = ev.member(me, "leave", {}, { unsigned: { prev_content: { membership: "invite" } } });
    await deliver(client, v2({ leave: { [a.id]: a.next(last), [`!declined${scenes}:test`]: { timeline: [declined] } } }));
    await feed.until(2);
    expect(await feed.read()).toEqual([]);
    expect(saidBy(feed.entries)).toEqual(ids(last));
  });

  it("M85 T22: what is read of a room that was left long ago is no news", async () => {
    const { me, a, client } = await scene();
    const feed = await FeedReader.start(client);
    const room = `!old${scenes}:test`;
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}`;
    const left = ev.member(me, "leave", {}, { unsigned: { prev_content: { membership: "join" } } });
    t.hs.on("GET", `${path}/state`, { body: [...newRoom(BOB), left] });
    t.hs.on("GET", `${path}/messages`, { body: { chunk: [left, ev.message(BOB), ev.member(me)], start: "s1" } });
    const ask = { connId: "c", subs: { [room]: { limit: 5 } } };
    const phone = new SlidingClient(client, "v4");
    let { pos, rooms } = await phone.sync(ask);
    while (!rooms[room]) ({ pos, rooms } = await phone.sync(ask, { pos, timeout: 5000 }));
    const news = messages(1);
    await deliver(client, v2({ join: { [a.id]: a.next(news) } }));
    expect(saidBy(await feed.read({}, { timeout: 5000 }))).toEqual(ids(news));
  });

  it("M85: a stream that is first named in the middle of a session starts there", async () => {
    const { a, client } = await scene();
    const first = await client.sync({ account_data: {} });
    await deliver(client, v2({ join: { [a.id]: a.next(messages(1)) } }));
    const feed = await client.sync({ feed: {} }, { since: first.next });
    expect(feed["feed"]).toEqual({ limit: 100, entries: [] });
    const event = messages(1);
    await deliver(client, v2({ join: { [a.id]: a.next(event) } }));
    const next = await client.sync({}, { since: feed.next, timeout: 30_000 });
    expect(saidBy(next["feed"].entries)).toEqual(ids(event));
  });
});

describe("M86: acknowledged by since", () => {
  it("M86: the same since gets the same again, each event at its place, also after a restart", async () => {
    const { a, client } = await scene();
    const feed = await FeedReader.start(client, { limit: 2 });
    await deliver(client, v2({ join: { [a.id]: a.next(messages(3)) } }));
    const { since } = feed;
    const first = await feed.read();
    const again = await client.sync({}, { since });
    await t.restart();
    const later = await client.sync({}, { since });
    const strip = (entries: Json[]) => entries.map(({ place, event }) => [place, (event as MatrixEvent).event_id]);
    expect(strip(again["feed"].entries)).toEqual(strip(first as Json[]));
    expect(strip(later["feed"].entries)).toEqual(strip(first as Json[]));
  });

  it("M86: events that come while no server runs its client, and while the session sleeps, are there later", async () => {
    const { a, client } = await scene();
    const feed = await FeedReader.start(client);
    const events = messages(230);
    for (let n = 0; n < events.length; n += 46) {
      await deliver(client, v2({ join: { [a.id]: a.next(events.slice(n, n + 46)) } }));
    }
    await feed.until(events.length);
    expect(saidBy(feed.entries)).toEqual(ids(events));
  });
});

describe("M87: gaps of v2", () => {
  it("M87: are fetched from /messages before they are sent, and hold only their own room", async () => {
    const { a, b, client } = await scene();
    const feed = await FeedReader.start(client);
    a.refusal = { status: 502, body: {} };
    const [missed, ofB, more] = [messages(120), messages(1), messages(1)];
    await deliver(client, v2({ join: { [a.id]: a.next(missed, 5), [b.id]: b.next(ofB) } }), v2({ join: { [a.id]: a.next(more) } }));
    expect(saidBy(await feed.until(1))).toEqual(ids(ofB));
    a.refusal = null;
    await feed.until(122);
    expect(saidBy(feed.entries)).toEqual(ids([...ofB, ...missed, ...more]));
  });

  it("M87: two gaps of a room, one after the other, are both filled", async () => {
    const { a, client } = await scene();
    const feed = await FeedReader.start(client);
    a.refusal = { status: 429, body: { errcode: "M_LIMIT_EXCEEDED", retry_after_ms: 50 } };
    const [one, two] = [messages(20), messages(30)];
    await deliver(client, v2({ join: { [a.id]: a.next(one, 2) } }), v2({ join: { [a.id]: a.next(two, 3) } }));
    a.refusal = null;
    await feed.until(50);
    expect(saidBy(feed.entries)).toEqual(ids([...one, ...two]));
  });

  it("M87: a server that dies while it fetches leaves that to the next one", async () => {
    const { a, client } = await scene();
    const feed = await FeedReader.start(client);
    a.refusal = { status: 502, body: {} };
    const events = messages(20);
    await deliver(client, v2({ join: { [a.id]: a.next(events, 2) } }));
    await t.hs.waitForRequest({ path: /\/messages$/, token: client.token });
    await t.restart();
    a.refusal = null;
    await feed.until(20);
    expect(saidBy(feed.entries)).toEqual(ids(events));
  });

  it("M87: an event that another server sent late, before the last one in the order of /messages, is not lost", async () => {
    const { a, client } = await scene();
    const feed = await FeedReader.start(client);
    const known = messages(3);
    await deliver(client, v2({ join: { [a.id]: a.next(known) } }));
    const [late, gap] = [ev.message(BOB, "late"), messages(6)];
    const section = a.next(gap, 2);
    a.all.splice(a.all.length - 8, 0, late);
    section.prev_batch = `h${a.all.length - 2}`;
    await deliver(client, v2({ join: { [a.id]: section } }));
    await feed.until(10);
    expect(saidBy(feed.entries)).toEqual(ids([...known, late, ...gap]));
  });
});

describe("M88: what cannot be had", () => {
  /** A server that waits for 1.5 s, and a room. */
  async function quickScene() {
    const quick = await startV3({ supervision: { feedGapsMs: 20, gapMs: 1500 } });
    onTestFinished(() => quick.stop());
    const me = "@quick:test";
    const room = new FeedRoom(quick.hs, "!quick:test", [...newRoom(BOB), ev.member(me)]);
    const client = quick.login(me, "BOT", v2({ join: { [room.id]: { timeline: room.all } } }));
    const feed = await FeedReader.start(client);
    await quick.hs.waitForPoll(client.token);
    return { quick, room, client, feed };
  }

  it("M88: is sent as a gap with its bounds if the homeserver refuses, and is never sent later", async () => {
    const { a, client } = await scene();
    const feed = await FeedReader.start(client);
    const known = messages(1);
    await deliver(client, v2({ join: { [a.id]: a.next(known) } }));
    a.refusal = { status: 403, body: { errcode: "M_FORBIDDEN", error: "no" } };
    const missed = messages(10);
    await deliver(client, v2({ join: { [a.id]: a.next(missed, 2) } }));
    await feed.until(4);
    expect(saidBy(feed.entries)).toEqual([...ids(known), `${a.id}: ${known[0]?.event_id}..${missed[8]?.event_id}`, ...ids(missed.slice(8))]);
    expect(feed.entries[1]?.gap?.prev_batch).toBe(`h${a.all.length - 2}`);
    a.refusal = null;
    const [more, after] = [messages(4), messages(1)];
    await deliver(client, v2({ join: { [a.id]: a.next(more, 1) } }), v2({ join: { [a.id]: a.next(after) } }));
    await feed.until(9);
    expect(saidBy(feed.entries.slice(4))).toEqual(ids([...more, ...after]));
  });

  it.each<[string, Fault]>([
    ["fails", { status: 500, body: {} }],
    ["is slow", { delayMs: 600_000 }],
  ])("M88: after its time, with what was found of it behind the gap, if the rest %s", async (_, fault) => {
    const { quick, room, client, feed } = await quickScene();
    const last = room.all.at(-1)?.event_id;
    const missed = messages(300);
    const section = room.next(missed, 10);
    const where = ({ query }: FakeRequest) => query.get("from") === `h${room.all.length - 110}`;
    quick.hs.fail({ path: /\/messages$/, where }, fault, 1000);
    await quick.deliver(client, v2({ join: { [room.id]: section } }));
    await feed.until(111);
    expect(saidBy(feed.entries)).toEqual([`${room.id}: ${last}..${missed[190]?.event_id}`, ...ids(missed.slice(190))]);
  });

  it("M88: and what came in the gap's place stays whole where the homeserver says nothing of use", async () => {
    const { a, client } = await scene();
    const feed = await FeedReader.start(client);
    const last = a.all.at(-1)?.event_id;
    a.refusal = { body: { chunk: [17, { type: 5 }, null, { event_id: "$x" }], start: "h1" } };
    const missed = messages(10);
    await deliver(client, v2({ join: { [a.id]: a.next(missed, 2) } }));
    await feed.until(3);
    expect(saidBy(feed.entries)).toEqual([`${a.id}: ${last}..${missed[8]?.event_id}`, ...ids(missed.slice(8))]);
  });

  it("M88: what the database refuses does not hold the room for ever", async () => {
    const { quick, room, client, feed } = await quickScene();
    const last = room.all.at(-1)?.event_id;
    const missed = messages(10);
    await refuse(quick.sql, { table: "events", when: `new.event_id = '${missed[3]?.event_id}'`, code: "XX000" });
    await quick.deliver(client, v2({ join: { [room.id]: room.next(missed, 2) } }));
    await feed.until(3);
    expect(saidBy(feed.entries)).toEqual([`${room.id}: ${last}..${missed[8]?.event_id}`, ...ids(missed.slice(8))]);
  });
});
