/** T2 on Synapse: somebody is no longer ignored. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import type { Json, MatrixEvent } from "../support/events.ts";
import { EveryFace } from "../support/every-face.ts";
import { Front } from "../support/front.ts";
import { APIS } from "../support/room-follower.ts";
import { followTimeline, timelineUpTo } from "../support/room-timeline.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
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

async function ignore(user: TestUser, ...others: readonly TestUser[]): Promise<void> {
  const path = `/user/${encodeURIComponent(user.userId)}/account_data/m.ignored_user_list`;
  await user.call("PUT", path, { ignored_users: Object.fromEntries(others.map(({ userId }) => [userId, {}])) });
}

/** Ids of the room's events and whether there are more, by a v2 sync without since. */
async function byV2(user: TestUser, room: string): Promise<Json> {
  const filter = encodeURIComponent(JSON.stringify({ room: { timeline: { limit: 100 } } }));
  const { rooms } = await user.call<{ rooms: { join: Record<string, { timeline: { events: MatrixEvent[]; limited: boolean } }> } }>(
    "GET",
    `/sync?timeout=0&filter=${filter}`,
  );
  const timeline = rooms.join[room]?.timeline;
  return { ids: timeline?.events.map((event) => event.event_id), limited: timeline?.limited };
}

it("T2: what Synapse withheld of somebody who is no longer ignored is there when everybody begins from scratch", { timeout: 120_000 }, async () => {
  const [alice, bob, carol] = await Promise.all(["alice", "bob", "carol"].map((name) => users.registerUser(`t2-${name}`)));
  if (!alice || !bob || !carol) throw new Error("three are three");
  const [room, left, quiet] = [
    await alice.createRoom({ preset: "public_chat" }),
    await carol.createRoom({ preset: "public_chat" }),
    await alice.createRoom({ preset: "public_chat" }),
  ];
  for (const each of [room, left, quiet]) {
    // oxlint-disable-next-line no-await-in-loop -- one after the other
    for (const user of [alice, carol]) await user.join(each);
  }
  for (const each of [room, left]) {
    // oxlint-disable-next-line no-await-in-loop -- as above
    await bob.join(each);
  }
  const face = new EveryFace(front.client(alice), room);
  await face.next();
  const follow = followTimeline(front.client(alice), "v4", room, "follows");
  await ignore(alice, bob);
  await carol.send(room, "ignored by now");
  await timelineUpTo(follow, "ignored by now");
  await bob.send(room, "one");
  await carol.send(room, "between");
  await bob.send(room, "two");
  await bob.send(left, "three");
  await bob.leave(left);
  const { room_id: invited } = await bob.call<{ room_id: string }>("POST", "/createRoom", { preset: "private_chat", invite: [alice.userId] });
  await carol.send(room, "last");
  await timelineUpTo(follow, "last");
  expect(JSON.stringify(await new EveryFace(front.client(alice), room).whole())).not.toMatch(/"(?:one|two|three)"/);
  const last = await face.next();
  await ignore(alice);
  await expect.poll(async () => (await front.client(alice).request({}, { since: last.v3.next })).status, { timeout: 60_000 }).toBe(400);
  // Each face begins from scratch, also those that go on.
  for (const answers of [await face.next(), await new EveryFace(front.client(alice), room).whole()]) {
    for (const answer of Object.values(answers)) {
      const text = JSON.stringify(answer);
      expect(["one", "two", "three"].filter((word) => text.includes(`"${word}"`))).toEqual(["one", "two", "three"]);
      expect(text).toContain(invited);
    }
  }
  for (const each of [room, left, quiet]) {
    for (const api of APIS) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const piece = await followTimeline(front.client(alice), api, each, `fresh ${each}`)();
      // oxlint-disable-next-line no-await-in-loop -- as above
      expect({ ids: piece?.events.map((event) => event.event_id), limited: piece?.limited }, api).toEqual(await byV2(alice, each));
    }
  }
});
