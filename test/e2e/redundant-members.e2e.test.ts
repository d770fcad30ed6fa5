/** T13: another reader of the device has the members already, so the homeserver leaves them out of lazy loaded answers. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Front } from "../support/front.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import { DIALECTS, SlidingClient } from "../support/sliding.ts";
import type { TestUser } from "../support/synapse-api.ts";

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

type V2 = { next_batch: string; rooms?: { join?: Record<string, { timeline: { events: { sender: string }[] } }> } };
type Member = { readonly type: string; readonly state_key?: string };
const LAZY = encodeURIComponent(JSON.stringify({ room: { state: { lazy_load_members: true }, timeline: { lazy_load_members: true } } }));
const keysOf = (events: readonly Member[] | undefined) =>
  (events ?? []).filter(({ type }) => type === "m.room.member").map((event) => event.state_key);

/** Senders, each of whom is new to both readers. Who is first at each is chance: one in two is the other reader. */
const SENDERS = 10;

/** A named room (else the homeserver would send heroes) whose other members have said nothing yet, and a position of alice's v2 client. */
async function silentRoom(name: string): Promise<{ alice: TestUser; senders: TestUser[]; room: string; since: string }> {
  const alice = await users.registerUser(`redundant-alice-${name}`);
  const room = await alice.createRoom({ preset: "public_chat", name: "Silence" });
  const senders: TestUser[] = [];
  for (let n = 0; n < SENDERS; n += 1) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    const puppet = await users.registerPuppet(`puppet-redundant-${name}-${n}`);
    // oxlint-disable-next-line no-await-in-loop -- as above
    await puppet.join(room);
    senders.push(puppet);
  }
  // Nobody's join is in the first timeline.
  await Promise.all(Array.from({ length: 25 }, (_, n) => alice.send(room, `${n}`)));
  const { next_batch: since } = await alice.call<V2>("GET", `/sync?timeout=0&filter=${LAZY}`);
  return { alice, senders, room, since };
}

/** Everybody speaks, one after the other, while the v2 client reads past us in long polls of its own: each time both readers are woken. */
async function speakWhileRead({ alice, senders, room, since: from }: Awaited<ReturnType<typeof silentRoom>>): Promise<void> {
  let since = from;
  for (const sender of senders) {
    const heard = (async () => {
      for (;;) {
        const answer = await alice.call<V2>("GET", `/sync?timeout=10000&filter=${LAZY}&since=${encodeURIComponent(since)}`);
        since = answer.next_batch;
        if (answer.rooms?.join?.[room]?.timeline.events.some((event) => event.sender === sender.userId)) return;
      }
    })();
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    await sender.send(room, "hello");
    // oxlint-disable-next-line no-await-in-loop -- as above
    await heard;
  }
}

it("T13: sync v3 has the members of all senders, though another reader of the device was sent some of them first", async () => {
  const scene = await silentRoom("v3");
  const client = front.client(scene.alice);
  const ask = { room: { room_id: scene.room, timeline_limit: SENDERS } };
  await client.sync(ask);
  await speakWhileRead(scene);
  await expect
    .poll(async () => keysOf((await client.sync(ask))["room"].rooms[scene.room].members.events))
    .toEqual(expect.arrayContaining(scene.senders.map(({ userId }) => userId)));
});

it.each(DIALECTS)("T13: so has sliding sync (%s)", async (dialect) => {
  const scene = await silentRoom(dialect);
  const sliding = new SlidingClient(front.client(scene.alice), dialect);
  const ask = { lists: { all: { ranges: [[0, 9]], limit: SENDERS, state: [["m.room.member", "$LAZY"]] } } } as const;
  await sliding.sync(ask);
  await speakWhileRead(scene);
  await expect
    .poll(async () => keysOf((await sliding.sync(ask)).rooms[scene.room]?.["required_state"]))
    .toEqual(expect.arrayContaining(scene.senders.map(({ userId }) => userId)));
});
