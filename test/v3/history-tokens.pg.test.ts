/** `prev_batch` where the homeserver gave no token for that position, at Synapse and at other homeservers. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readHistoryToken } from "../../src/wire/history-token.ts";
import { ev, type MatrixEvent, newRoom, v2 } from "../support/fake-homeserver.ts";
import { PagedRoom } from "../support/paged-room.ts";
import { ids, RoomRoutes } from "../support/rooms.ts";
import { DIALECTS, SlidingClient } from "../support/sliding.ts";
import { startV3, type V3Client, type V3Fixture } from "../support/v3.ts";

const ALICE = "@alice:test";
let t: V3Fixture;
let routes: RoomRoutes;
let rooms = 0;

beforeAll(async () => {
  t = await startV3({ publicUrl: "https://matrix.example.org" });
  routes = new RoomRoutes(t.hs);
});
afterAll(() => t.stop());

const messages = (count: number) => Array.from({ length: count }, (_, n) => ev.message(ALICE, `m${n}`));
const flat = (pages: readonly string[][]) => pages.flat().toSorted();

/** A user in a room with 30 old messages, and then 40 new ones in one v2 response; `prevBatch` is that of the newest 20. */
async function scene(fixture = t, hsRoutes = routes) {
  rooms += 1;
  const [id, me] = [`!paged${rooms}:test`, `@me${rooms}:test`];
  const room = new PagedRoom(hsRoutes, id, [...newRoom(ALICE), ev.member(me), ...messages(30)]);
  const synced = room.events.length;
  const first = { state: room.stateAt(synced - 5), timeline: room.events.slice(-5), limited: true, prev_batch: `h${synced - 5}` };
  const client = fixture.login(me, "PHONE", v2({ next_batch: `h${synced}`, join: { [id]: first } }));
  await client.sync({ room: { room_id: id, timeline_limit: 1 } });
  const fresh = messages(40);
  room.events.push(...fresh);
  await fixture.deliver(client, v2({ next_batch: `h${room.events.length}`, join: { [id]: { timeline: fresh, prev_batch: `h${synced}` } } }));
  const told = async () => (await client.sync({ room: { room_id: id, timeline_limit: 20 } }))["room"].rooms[id].timeline;
  const { events, prev_batch: prevBatch } = (await told()) as { events: MatrixEvent[]; prev_batch: string };
  expect(ids(events)).toEqual(ids(fresh.slice(-20)));
  return { room, client, prevBatch, told, older: ids(room.events.slice(0, -20)) };
}

const get = (client: V3Client, room: PagedRoom, query: Record<string, string>) =>
  client.fetch("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(room.id)}/messages?${new URLSearchParams(query).toString()}`);

describe("T20: prev_batch in the midst of a v2 response", () => {
  it.each([1, 7, 20, 100])("T20: paged back with a limit of %i: every older event once, none that was sent, in order", async (limit) => {
    const { room, client, prevBatch, older } = await scene();
    const pages = await room.back(client, prevBatch, limit);
    expect(pages.flat()).toEqual(older.toReversed());
    expect(Math.max(...pages.map((page) => page.length))).toBeLessThanOrEqual(limit);
    if (limit > 1) expect(pages[0]).not.toEqual([]);
  });

  it.each(DIALECTS)("T20: in sliding sync (%s) too", async (dialect) => {
    const { room, client, older } = await scene();
    const answer = await new SlidingClient(client, dialect).sync({ subs: { [room.id]: { limit: 20 } } });
    expect((await room.back(client, answer.rooms[room.id]?.["prev_batch"])).flat()).toEqual(older.toReversed());
  });

  it("T20: in a room list", async () => {
    const { room, client, older } = await scene();
    const { room_list: list } = await client.sync({ room_list: { timeline_limit: 20 } });
    const entry = (list.rooms as { room_id: string; prev_batch: string }[]).find(({ room_id }) => room_id === room.id);
    expect((await room.back(client, entry?.prev_batch ?? "")).flat()).toEqual(older.toReversed());
  });

  it("T20: a homeserver whose pages are ordered otherwise than v2: nothing is left out and nothing repeated", async () => {
    const { room, client, prevBatch, older } = await scene();
    // The newest event that was not sent is after all that were, and one that was sent is far before them.
    const [sent] = room.events.splice(-20, 1);
    const [late] = room.events.splice(-20, 1);
    room.events.splice(30, 0, sent as MatrixEvent);
    room.events.push(late as MatrixEvent);
    expect(flat(await room.back(client, prevBatch, 50))).toEqual(older.toSorted());
  });

  it("T20: a page that comes empty, as the homeserver hides what is on it: what follows is cut all the same", async () => {
    const { room, client, prevBatch, older } = await scene();
    room.hidden = new Set(ids(room.events.slice(-10, -5)));
    expect((await room.back(client, prevBatch, 5)).flat()).toEqual(older.toReversed());
  });

  it("T20: paged the other way, and as the end of a page, nothing is left out", async () => {
    const { room, client, prevBatch } = await scene();
    const sent = ids(room.events.slice(-20));
    const all = { limit: "1000" };
    expect(ids((await get(client, room, { ...all, dir: "f", from: prevBatch })).body["chunk"])).toEqual(expect.arrayContaining(sent));
    expect(ids((await get(client, room, { ...all, dir: "b", to: prevBatch })).body["chunk"])).toEqual(expect.arrayContaining(sent));
    const before = ids((await get(client, room, { ...all, dir: "f", to: prevBatch })).body["chunk"]);
    expect(before).toEqual(expect.arrayContaining(ids(room.events.slice(0, -20))));
  });

  it("T20: an event that is no longer stored: what is stored of the room was sent, and is cut", async () => {
    const { room, client, prevBatch, older } = await scene();
    await t.sql`delete from timeline where room_id = ${room.id} and ord < (select max(ord) - 10 from timeline where room_id = ${room.id})`;
    const paged = (await room.back(client, prevBatch)).flat();
    expect(paged).toEqual(expect.arrayContaining(older));
    expect(paged.filter((id) => ids(room.events.slice(-11)).includes(id))).toEqual([]);
  });

  it("T20: Synapse's /context gives the stream number of the event; if the event is gone there, the later token is used", async () => {
    const { room, client, prevBatch } = await scene();
    const token = readHistoryToken(prevBatch);
    const synapse = prevBatch.replace(token?.later ?? "", "s90_5_0_7");
    const froms = () => routes.asked("messages", room.id).map((request) => request.query.get("from"));
    await t.sql`delete from timeline where room_id = ${room.id}`;
    routes.context(room.id, { start: "t7-75_0_0_0", end: "t8-75_0_0_0", state: [] });
    await get(client, room, { dir: "b", from: synapse });
    expect(froms().at(-1)).toBe("s74_0_0_0");
    for (const status of [403, 404, 500]) {
      t.hs.fail({ path: /\/context\//, where: (request) => request.params["room"] === room.id }, { status, body: { errcode: "M_NOT_FOUND" } });
      await get(client, room, { dir: "b", from: synapse });
      expect(froms().at(-1)).toBe("s90_5_0_7");
      t.hs.heal();
    }
  });

  it("T20: a token of another room, or one that is broken, is refused with words; it means the same after a restart", async () => {
    const { room, client, prevBatch, older } = await scene();
    const other = await scene();
    for (const from of [other.prevBatch, "syncv3~", "syncv3~%~b~c", `syncv3~${"a".repeat(300)}~b~c`]) {
      const { status, body } = await get(client, room, { dir: "b", from });
      expect([status, body["errcode"], body["error"]]).toEqual([400, "M_INVALID_PARAM", expect.stringContaining("from")]);
    }
    await t.restart();
    expect((await room.back(client, prevBatch, 20)).flat()).toEqual(older.toReversed());
  });

  it("T20: another user's token gives nothing but what the homeserver gives that user", async () => {
    const { room, prevBatch } = await scene();
    const eve = t.login("@eve:test", "PHONE");
    await eve.sync();
    t.hs.fail({ path: /\/messages$/, where: (request) => request.token === eve.token }, { status: 403, body: { errcode: "M_FORBIDDEN" } });
    expect((await get(eve, room, { dir: "b", from: prevBatch })).status).toBe(403);
    t.hs.heal();
  });
});

it.each(["v3", ...DIALECTS] as const)(
  "T20: a room that is joined while connected, sent from its first event on (%s): a page back is empty, whatever the homeserver's token leads to",
  async (api) => {
    rooms += 1;
    const [id, me] = [`!joined${rooms}:test`, `@joined${rooms}:test`];
    const client = t.login(me, "PHONE", v2({ next_batch: "h0" }));
    await client.sync({});
    const room = new PagedRoom(routes, id, [...newRoom(ALICE), ev.member(me), ...messages(3)]);
    // As Synapse sends it: limited, like every newly joined room, with a token after the timeline.
    const section = { timeline: room.events, limited: true, prev_batch: `h${room.events.length}` };
    await t.deliver(client, v2({ next_batch: `h${room.events.length}`, join: { [id]: section } }));
    let prevBatch: unknown;
    if (api === "v3") {
      const answer = await client.sync({ room: { room_id: id, timeline_limit: 50 } });
      expect(ids(answer["room"].rooms[id].timeline.events)).toEqual(ids(room.events));
      prevBatch = answer["room"].rooms[id].timeline.prev_batch;
    } else {
      const answer = await new SlidingClient(client, api).sync({ lists: { all: { ranges: [[0, 9]], limit: 50 } } });
      prevBatch = answer.rooms[id]?.["prev_batch"];
    }
    expect(prevBatch).toBeTypeOf("string");
    expect((await room.back(client, prevBatch as string)).flat()).toEqual([]);
  },
);

it("T20: without a public URL, tokens of ours are given once history was seen to be read here", async () => {
  const plain = await startV3();
  try {
    const { room, client, prevBatch, told, older } = await scene(plain, new RoomRoutes(plain.hs));
    expect(prevBatch).toBe(`h${room.events.length}`);
    await get(client, room, { dir: "b", from: prevBatch });
    const { prev_batch: own } = await told();
    expect(readHistoryToken(own)).toMatchObject({ room: room.id });
    expect((await room.back(client, own, 20)).flat()).toEqual(older.toReversed());
    await plain.sql`update accounts set history_at = now() - interval '31 days'`;
    expect((await told()).prev_batch).toBe(prevBatch);
  } finally {
    await plain.stop();
  }
});
