/** History that an admin of the homeserver has purged, which v2 never tells (T4): fresh clients are not shown it, and page on as at the homeserver. */

import { describe, expect, test, vi } from "vitest";
import { hasSeenRetention, readRetention } from "../src/store/message-retention.ts";
import { ev, type Json, type MatrixEvent, newRoom, v2 } from "./support/fake-homeserver.ts";
import { DAY_MS, everywhere, lifetime, MINUTE_MS, RETENTION_PATH, sentAgo, shownBy } from "./support/message-times.ts";
import { SlidingClient } from "./support/sliding.ts";
import { type V3Fixture, v3Server } from "./support/v3.ts";

const BOB = "@bob:test";
const EVENT = /\/event\//;
let rooms = 0;

/** `purged`: ids that the homeserver does not give any more. */
function purgedRoom(t: V3Fixture, timeline: readonly MatrixEvent[], state: readonly Json[] = []) {
  rooms += 1;
  const [me, room] = [`@me${rooms}:test`, `!purged${rooms}:test`];
  const purged = new Set<string>();
  const client = t.login(
    me,
    "PHONE",
    v2({ join: { [room]: { state: [...newRoom(me), ...state], timeline: [...timeline], limited: true, prev_batch: "p" } } }),
  );
  const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room)}`;
  t.hs.on("GET", `${path}/messages`, ({ query }) => ({ body: { chunk: [], start: query.get("from") } }));
  t.hs.on("GET", `${path}/event/:event`, ({ params }) => {
    const event = timeline.find(({ event_id }) => event_id === params["event"]);
    return event && !purged.has(event.event_id) ? { body: event } : { status: 404, body: { errcode: "M_NOT_FOUND", error: "Event not found." } };
  });
  const forgetAsks = () => t.sql`update background_asks set due_at = now()`;
  const asks = () => t.hs.seen({ path: EVENT, token: client.token }).length;
  return { me, room, client, purged, forgetAsks, asks };
}

/** Until a first answer by each API shows these events and no others. */
async function untilShown({ client, room }: ReturnType<typeof purgedRoom>, events: readonly MatrixEvent[]): Promise<void> {
  await vi.waitFor(async () => expect(await shownBy(client, room)).toEqual(everywhere(events)), { timeout: 20_000, interval: 200 });
}

describe("a room whose history may have been purged", () => {
  const t = v3Server({ workers: 1, checksHistory: true });

  test("T4: the oldest message that is shown is asked for once a day; what is before the first one that is there is not shown any more", async () => {
    const messages = Array.from({ length: 12 }, (_, n) => ev.message(BOB, `message ${n}`));
    const topic = ev.topic(BOB, "stays");
    const timeline = [...messages.slice(0, 2), topic, ...messages.slice(2)];
    const room = purgedRoom(t, timeline);
    await untilShown(room, timeline);
    await vi.waitFor(() => expect(room.asks()).toBe(1), { timeout: 20_000 });
    const first = await room.client.sync({ room_list: { timeline_limit: 20 } });
    expect(room.asks()).toBe(1);
    for (const { event_id } of messages.slice(0, 7)) room.purged.add(event_id);
    await t.restart();
    await room.forgetAsks();
    await untilShown(room, messages.slice(7));
    expect(room.asks()).toBeLessThanOrEqual(1 + 2 + 4);
    const lists = { all: { ranges: [[0, 9]] as const, state: [["*", "*"]] as const, limit: 20 } };
    const shown = (await new SlidingClient(room.client, "unstable").sync({ lists })).rooms[room.room];
    expect(shown).toMatchObject({ limited: true, prev_batch: expect.any(String) });
    expect(shown?.["required_state"]).toContainEqual(expect.objectContaining({ event_id: topic.event_id }));
    const later = ev.message(BOB, "later");
    await t.deliver(room.client, v2({ join: { [room.room]: { timeline: [later] } } }));
    const next = await room.client.sync({}, { since: first.next });
    expect((next["room_list"].rooms as { timeline: MatrixEvent[] }[]).flatMap((entry) => entry.timeline.map((event) => event.event_id))).toEqual([
      later.event_id,
    ]);
  });

  test("T4: nothing is lost where the homeserver has none of the messages, or refuses to say", async () => {
    const messages = Array.from({ length: 3 }, () => ev.message(BOB));
    const [gone, refused] = [purgedRoom(t, messages), purgedRoom(t, messages)];
    for (const { event_id } of messages) gone.purged.add(event_id);
    t.hs.on("GET", `/_matrix/client/v3/rooms/${encodeURIComponent(refused.room)}/event/:event`, { status: 403, body: { errcode: "M_FORBIDDEN" } });
    for (const [room, asks] of [[gone, 2] as const, [refused, 1] as const]) {
      // oxlint-disable no-await-in-loop -- one room after the other
      await untilShown(room, messages);
      await vi.waitFor(() => expect(room.asks()).toBe(asks), { timeout: 20_000 });
      await t.hs.waitForPoll(room.client.token);
      await untilShown(room, messages);
      // oxlint-enable no-await-in-loop
    }
  });

  test("T4: fetched history that was purged is not shown any more either, nor what is asked of ignored users", async () => {
    const [old, young, evil] = [ev.message(BOB, "old"), ev.message(BOB, "young"), ev.message("@eve:test", "evil")];
    const room = purgedRoom(t, [old, evil, young]);
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(room.room)}`;
    const older = ev.message(BOB, "older");
    const before = ev.message(BOB, "before");
    t.hs.on("GET", `${path}/messages`, ({ query }) => {
      if (room.purged.size > 0) return { body: { chunk: [], start: "p" } };
      return { body: query.get("from") === "p" ? { chunk: [older], start: "p", end: "q" } : { chunk: [before], start: "q", end: "r" } };
    });
    t.hs.on("GET", `${path}/context/:event`, { body: { event: before, state: newRoom(room.me) } });
    const texts = async () => {
      const answer = await room.client.sync({ room: { room_id: room.room, timeline_limit: 4 } });
      return (answer["room"].rooms[room.room].timeline.events as MatrixEvent[]).map(({ content }) => content["body"]);
    };
    expect(await texts()).toEqual(["older", "old", "evil", "young"]);
    await t.hs.waitForPoll(room.client.token);
    await t.deliver(room.client, v2({ account_data: [{ type: "m.ignored_user_list", content: { ignored_users: { "@eve:test": {} } } }] }));
    for (const event of [older, old, evil]) room.purged.add(event.event_id);
    await t.restart();
    await room.forgetAsks();
    await vi.waitFor(async () => expect(await texts()).toEqual(["young"]), { timeout: 20_000, interval: 200 });
  });
});

describe("a homeserver that does not say whether it lets messages expire", () => {
  const t = v3Server({ workers: 1, checksHistory: true });

  test("T4: it is seen to, where a message past its life is gone and others are there; and not to, where one past its life is given", async () => {
    const [old, young] = [sentAgo(10 * DAY_MS), sentAgo(MINUTE_MS)];
    const room = purgedRoom(t, [old, young], [lifetime({ max_lifetime: DAY_MS })]);
    await untilShown(room, [old, young]);
    await vi.waitFor(async () => expect(await t.sql`select from homeserver_facts`).toHaveLength(1), { timeout: 20_000 });
    await t.hs.waitForRequest({ path: RETENTION_PATH });
    await vi.waitFor(() => expect(room.asks()).toBe(1), { timeout: 20_000 });
    room.purged.add(old.event_id);
    await t.restart();
    await room.forgetAsks();
    await untilShown(room, [young]);
    expect(await hasSeenRetention(t.sql)).toBe(true);
    // It may be shown again.
    expect(await t.sql`select from timeline where event_id = ${old.event_id}`).toHaveLength(1);
    expect(await readRetention(t.sql)).toEqual({});
    room.purged.clear();
    await t.restart();
    await room.forgetAsks();
    await untilShown(room, [old, young]);
    expect(await hasSeenRetention(t.sql)).toBe(false);
  });
});
