/** Fetched history, at homeservers that disagree about the tokens of /context. */

import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ev, newRoom, v2 } from "../support/fake-homeserver.ts";
import { type EndReading, PagedRoom } from "../support/paged-room.ts";
import { ids, RoomRoutes } from "../support/rooms.ts";
import { DIALECTS, SlidingClient } from "../support/sliding.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";

const ALICE = "@alice:test";
let t: V3Fixture;
let routes: RoomRoutes;
let rooms = 0;

beforeAll(async () => {
  t = await startV3({ publicUrl: "https://matrix.example.org", sliding: { fetchMs: 20_000 } });
  routes = new RoomRoutes(t.hs);
});
afterAll(() => t.stop());

/** A user in a room of 40 messages, with a topic between each two of them, of which v2 sends the last event. */
function scene(end: EndReading) {
  rooms += 1;
  const [id, me] = [`!fetched${rooms}:test`, `@me${rooms}:test`];
  const history = Array.from({ length: 40 }, (_, n) => [ev.topic(ALICE, `topic ${n}`), ev.message(ALICE, `message ${n}`)]).flat();
  const room = new PagedRoom(routes, id, [...newRoom(ALICE), ev.member(me), ...history], end);
  const known = room.events.length - 1;
  const section = { state: room.stateAt(known), timeline: room.events.slice(known), limited: true, prev_batch: `h${known}` };
  return { room, client: t.login(me, "PHONE", v2({ join: { [id]: section } })) };
}

describe.each<EndReading>(["with the event", "without the event"])("T23: /context's end pages backward %s", (end) => {
  it("T23: each event is fetched once, in order, over several fetches; prev_batch continues where they end; the state is right", async () => {
    const { room, client } = scene(end);
    for (const limit of [10, 11, 33, 50]) {
      // oxlint-disable-next-line no-await-in-loop -- each goes on from what the one before has fetched
      const sent = (await client.sync({ room: { room_id: room.id, timeline_limit: limit } }))["room"].rooms[room.id];
      expect(ids(sent.timeline.events)).toEqual(ids(room.events.slice(-limit)));
      const paged = (await room.back(client, sent.timeline.prev_batch, 20)).flat();
      expect(paged).toEqual(ids(room.events.slice(0, -limit)).toReversed());
      const topics = room.events.slice(0, -limit).filter(({ type }) => type === "m.room.topic");
      expect(ids(sent.state.events)).toContain(topics.at(-1)?.event_id);
    }
    const full = (await client.sync({ room: { room_id: room.id, timeline_limit: 100 } }))["room"].rooms[room.id];
    expect(ids(full.timeline.events)).toEqual(ids(room.events));
    expect(full.timeline.limited).toBe(false);
  });

  it.each(DIALECTS)("T23: in sliding sync (%s) too", async (dialect) => {
    const { room, client } = scene(end);
    const phone = new SlidingClient(client, dialect);
    for (const limit of [10, 25]) {
      // oxlint-disable-next-line no-await-in-loop -- as above
      const sent = (await phone.sync({ subs: { [room.id]: { limit } } })).rooms[room.id] ?? {};
      expect(ids(sent["timeline"])).toEqual(ids(room.events.slice(-limit)));
      expect((await room.back(client, sent["prev_batch"], 20)).flat()).toEqual(ids(room.events.slice(0, -limit)).toReversed());
    }
  });
});

it("T23: a token although nothing is older: the room begins there", async () => {
  const { room, client } = scene("with the event");
  const count = room.events.length;
  routes.messages(room.id, ({ query }) =>
    query.get("from") === "h0" ? { chunk: [], start: "h0", end: "h0" } : { chunk: room.events.slice(0, -1).toReversed(), end: "h0" },
  );
  const sent = (await client.sync({ room: { room_id: room.id, timeline_limit: 100 } }))["room"].rooms[room.id];
  expect([sent.timeline.events.length, sent.timeline.limited, sent.state.events]).toEqual([count, false, []]);
});
