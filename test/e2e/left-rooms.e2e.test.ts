/** T22 and T14 with a real homeserver: what is read of it in the background. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { HomeserverClient } from "../../src/upstream/client.ts";
import type { RoomId, UserId } from "../../src/wire/ids.ts";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Front } from "../support/front.ts";
import { eventsBefore } from "../support/room-timeline.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import { DIALECTS, SlidingClient, timelineIds } from "../support/sliding.ts";

const { url: homeserver, users } = sharedSynapse();
let database: TestDatabase;
let front: Front;
beforeAll(async () => {
  database = await freshDatabase();
  front = await new Front(homeserver, database.options).start();
});
afterAll(async () => {
  await front.stop();
  await database.drop();
});

it.each(DIALECTS)(
  "T22: a room that was left before the first v2 answer, and one that the homeserver sends as the user was kicked (%s)",
  async (dialect) => {
    const me = await users.registerUser(`t22-alice-${dialect}`);
    const bob = await users.registerUser(`t22-bob-${dialect}`);
    const rooms = [
      await bob.createRoom({ preset: "public_chat", name: "left" }),
      await bob.createRoom({ preset: "public_chat", name: "kicked" }),
    ] as const;
    for (const room of rooms) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      await me.join(room);
      // oxlint-disable-next-line no-await-in-loop
      await bob.send(room, "while there");
    }
    await me.leave(rooms[0]);
    await bob.call("POST", `/rooms/${encodeURIComponent(rooms[1])}/kick`, { user_id: me.userId });
    for (const room of rooms) await bob.send(room, "afterwards"); // oxlint-disable-line no-await-in-loop
    const phone = new SlidingClient(front.client(me), dialect);
    const ask = { subs: Object.fromEntries(rooms.map((room) => [room, { limit: 3, state: [["m.room.name", ""]] as const }])) };
    const found = new Map<string, unknown>();
    let pos: string | undefined;
    while (found.size < rooms.length) {
      // oxlint-disable-next-line no-await-in-loop -- each continues the one before
      const answer = await phone.sync(ask, { pos, timeout: 30_000 });
      ({ pos } = answer);
      for (const [id, room] of Object.entries(answer.rooms)) found.set(id, { name: room["name"], timeline: timelineIds(room) });
    }
    for (const [index, room] of rooms.entries()) {
      // oxlint-disable-next-line no-await-in-loop
      const truth = (await eventsBefore(me, room)).slice(0, 3).toReversed();
      expect(found.get(room)).toEqual({ name: ["left", "kicked"][index], timeline: truth });
    }
  },
);

it("T14: Synapse answers with the member event", async () => {
  const me = await users.registerUser("t14-alice");
  const room = await me.createRoom({});
  const client = new HomeserverClient({ baseUrl: homeserver });
  const signal = AbortSignal.timeout(60_000);
  const text = await client.member(me.accessToken, room as RoomId, me.userId as UserId, signal);
  expect(JSON.parse(text ?? "{}")).toMatchObject({ type: "m.room.member", state_key: me.userId, event_id: expect.stringMatching(/^\$/) as unknown });
  expect(await client.member(me.accessToken, room as RoomId, "@nobody:test" as UserId, signal)).toBeNull();
  await client.close();
});
