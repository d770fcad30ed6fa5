import { beforeAll, describe, expect, it, vi } from "vitest";
import { readRetention } from "../src/store/message-retention.ts";
import { ev, type Json, v2 } from "./support/fake-homeserver.ts";
import { DAY_MS, everywhere, HOUR_MS, lifetime, MINUTE_MS, RETENTION_PATH, roomOf, sentAgo, shownBy } from "./support/message-times.ts";
import { ids, RoomRoutes } from "./support/rooms.ts";
import { DIALECTS, SlidingClient, timelineIds } from "./support/sliding.ts";
import { type V3Fixture, v3Server } from "./support/v3.ts";

const BOB = "@bob:test";

/** The homeserver's policy is known: somebody is polled. */
async function asked(t: V3Fixture): Promise<void> {
  await roomOf(t, []).client.sync({ room_list: {} });
  await vi.waitFor(async () => expect(await t.sql`select from homeserver_facts`).toHaveLength(1), { timeout: 20_000 });
}

describe("the homeserver does not apply retention", () => {
  const t = v3Server();
  beforeAll(() => asked(t));

  it("T4: every message is shown, whatever a room's max_lifetime is", async () => {
    expect(await readRetention(t.sql)).toBe(null);
    const timeline = [sentAgo(400 * DAY_MS), sentAgo(DAY_MS)];
    const { room, client } = roomOf(t, timeline, [lifetime({ max_lifetime: 1 })]);
    expect(await shownBy(client, room)).toEqual(everywhere(timeline));
  });
});

describe("the homeserver says nothing about retention, and -message-retention does", () => {
  const t = v3Server({ assumedRetention: { fallbackMs: 30 * DAY_MS } });
  beforeAll(() => asked(t));

  it("T4: messages expire by the room's max_lifetime, and in others by what the option says", async () => {
    const timeline = [sentAgo(40 * DAY_MS), sentAgo(10 * DAY_MS), sentAgo(DAY_MS)] as const;
    const own = roomOf(t, timeline, [lifetime({ max_lifetime: 5 * DAY_MS })]);
    const other = roomOf(t, timeline);
    expect(await shownBy(own.client, own.room)).toEqual(everywhere([timeline[2]]));
    expect(await shownBy(other.client, other.room)).toEqual(everywhere([timeline[1], timeline[2]]));
  });
});

describe("the homeserver applies retention", () => {
  const t = v3Server({ sliding: { fetchMs: 20_000 } });
  let routes: RoomRoutes;
  beforeAll(async () => {
    routes = new RoomRoutes(t.hs);
    const policy = { policies: { "*": { max_lifetime: 30 * DAY_MS } }, limits: { max_lifetime: { min: HOUR_MS, max: 60 * DAY_MS } } };
    t.hs.on("GET", RETENTION_PATH, { body: policy });
    await asked(t);
  });

  it("T4: messages expire by the room's max_lifetime, state events never do", async () => {
    const topic = ev.topic(BOB, "old", { origin_server_ts: Date.now() - 300 * DAY_MS });
    const young = sentAgo(HOUR_MS);
    const { room, client } = roomOf(t, [sentAgo(2 * DAY_MS), topic, young], [lifetime({ max_lifetime: DAY_MS })]);
    expect(await shownBy(client, room)).toEqual(everywhere([topic, young]));
  });

  it("T4: without one, and with one that is none, by the homeserver's default", async () => {
    const [old, young] = [sentAgo(31 * DAY_MS), sentAgo(29 * DAY_MS)];
    for (const state of [[], [lifetime({ max_lifetime: "1" })]]) {
      const { room, client } = roomOf(t, [old, young], state);
      // oxlint-disable-next-line no-await-in-loop
      expect(await shownBy(client, room)).toEqual(everywhere([young]));
    }
  });

  it("T4: max_lifetime 1 hides no more than the homeserver's least lifetime", async () => {
    const [old, young] = [sentAgo(2 * HOUR_MS), sentAgo(30 * MINUTE_MS)];
    const { room, client } = roomOf(t, [old, young], [lifetime({ max_lifetime: 1 })]);
    expect(await shownBy(client, room)).toEqual(everywhere([young]));
  });

  it("T4: a policy that changes counts for what is stored already, both ways, also in rooms that are cached; a redacted one does not count", async () => {
    const [old, young] = [sentAgo(10 * DAY_MS), sentAgo(HOUR_MS)];
    const { room, client } = roomOf(t, [old, young]);
    expect(await shownBy(client, room)).toEqual(everywhere([old, young]));
    const strict = lifetime({ max_lifetime: DAY_MS });
    await t.deliver(client, v2({ join: { [room]: { timeline: [strict] } } }));
    expect(await shownBy(client, room)).toEqual(everywhere([young, strict]));
    const redaction = ev.redaction(BOB, strict.event_id, { origin_server_ts: Date.now() });
    await t.deliver(client, v2({ join: { [room]: { timeline: [redaction] } } }));
    expect(await shownBy(client, room)).toEqual(everywhere([old, young, strict, redaction]));
  });

  it.each(DIALECTS)("T4: %s: what comes live has not expired; an old message that comes late is not sent", async (dialect) => {
    const { room, client } = roomOf(t, [sentAgo(HOUR_MS)], [lifetime({ max_lifetime: DAY_MS })]);
    const sliding = new SlidingClient(client, dialect);
    const ask = { lists: { all: { ranges: [[0, 9]] as const, state: [], limit: 20 } } };
    const first = await sliding.sync(ask);
    const [late, live] = [sentAgo(3 * DAY_MS), sentAgo(0)];
    const waiting = sliding.sync(ask, { pos: first.pos, timeout: 30_000 });
    await t.deliver(client, v2({ join: { [room]: { timeline: [late, live] } } }));
    const { rooms } = await waiting;
    expect(timelineIds(rooms[room])).toEqual([live.event_id]);
  });

  it("T4: sync v3 does not send them in deltas and notifications either; counts are the homeserver's", async () => {
    const { room, client } = roomOf(t, [sentAgo(HOUR_MS)], [lifetime({ max_lifetime: DAY_MS }), ev.encryption(BOB)]);
    const first = await client.sync({ room_list: { timeline_limit: 20, filters: { is_encrypted: false } }, room: { room_id: room } });
    const live = ev.encrypted(BOB, { origin_server_ts: Date.now() });
    const late = ev.encrypted(BOB, { origin_server_ts: Date.now() - 3 * DAY_MS });
    await t.deliver(client, v2({ join: { [room]: { timeline: [late, live], unread: { notification_count: 2 } } } }));
    const then = await client.sync({}, { since: first.next });
    expect(ids(then["room"].rooms[room].timeline.events)).toEqual([live.event_id]);
    expect(then["room"].rooms[room].notification_count).toBe(2);
    expect(JSON.stringify(then)).not.toContain(late.event_id);
  });

  it("T4: a limited timeline of which every message has expired is empty and limited, and its token shows the rest", async () => {
    const old = [sentAgo(3 * DAY_MS), sentAgo(2 * DAY_MS)];
    const { room, client } = roomOf(t, old, [lifetime({ max_lifetime: DAY_MS })], { limited: true, prev_batch: "p1" });
    const topic = ev.topic(BOB, "older", { origin_server_ts: Date.now() - 300 * DAY_MS });
    routes.messages(room, (request): Json => (request.query.get("from") === "p1" ? { start: "p1", chunk: [topic] } : { start: "p0", chunk: [] }));
    const { timeline } = (await client.sync({ room: { room_id: room, timeline_limit: 20 } }))["room"].rooms[room];
    expect(ids(timeline.events)).toEqual([topic.event_id]);
    for (const dialect of DIALECTS) {
      const ask = { connId: "list", lists: { all: { ranges: [[0, 9]] as const, state: [], limit: 20 } } };
      // oxlint-disable-next-line no-await-in-loop
      const { rooms } = await new SlidingClient(client, dialect).sync(ask);
      expect(timelineIds(rooms[room])).toEqual([]);
      expect(rooms[room]).toMatchObject({ limited: true, prev_batch: expect.stringMatching(/./) });
    }
  });

  it("T4: fetched history that has expired is not shown either", async () => {
    const { room, client } = roomOf(t, [sentAgo(HOUR_MS, "new")], [], { limited: true, prev_batch: "p1" });
    const older = [sentAgo(HOUR_MS * 2), sentAgo(DAY_MS * 10)];
    routes.messages(room, { start: "p1", chunk: older });
    const ask = async () => ids((await client.sync({ room: { room_id: room, timeline_limit: 20 } }))["room"].rooms[room].timeline.events);
    expect(await ask()).toHaveLength(3);
    const strict = lifetime({ max_lifetime: DAY_MS });
    await t.deliver(client, v2({ join: { [room]: { timeline: [strict] } } }));
    expect(await ask()).toEqual([older[0]?.event_id, expect.any(String), strict.event_id]);
    for (const dialect of DIALECTS) {
      const subscribed = { connId: "one", subs: { [room]: { state: [], limit: 20 } } };
      // oxlint-disable-next-line no-await-in-loop
      const { rooms } = await new SlidingClient(client, dialect).sync(subscribed);
      expect(timelineIds(rooms[room])).toEqual([older[0]?.event_id, expect.any(String), strict.event_id]);
    }
  });
});
