import { afterAll, beforeAll, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { Follower } from "../support/follow.ts";
import { Front } from "../support/front.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";

const MEMBERS = 400;
const AT_ONCE = 8;

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

it("S3: a room of 400 members: pages partition the snapshot while somebody joins, then the join is the delta", { timeout: 300_000 }, async () => {
  const alice = await users.registerUser("big-alice");
  const roomId = await alice.createRoom({ preset: "public_chat", name: "Big" });
  const numbers = Array.from({ length: MEMBERS - 1 }, (_, i) => i);
  await Promise.all(
    Array.from({ length: AT_ONCE }, async (_, worker) => {
      for (const n of numbers.filter((i) => i % AT_ONCE === worker)) await (await users.registerPuppet(`puppet-big-${n}`)).join(roomId);
    }),
  );
  const client = front.client(alice);
  const session = new Follower(client);
  const first = await session.step({ room_members: { room_id: roomId, p: { limit: 120, sort: "by_name" } }, room_list: {} });
  expect(first["room_list"].rooms[0].joined_count).toBe(MEMBERS);
  const seen: string[] = first["room_members"].events.map((event: { state_key: string }) => event.state_key);
  expect(seen).toHaveLength(120);
  const late = await users.registerPuppet("puppet-big-late");
  await late.join(roomId);
  for (let next = first["room_members"].p.next; next !== undefined;) {
    const page = await client.sync({ room_members: { p: { since: next } } }, { since: first.next });
    expect(page.next).toBe(first.next);
    seen.push(...page["room_members"].events.map((event: { state_key: string }) => event.state_key));
    next = page["room_members"].p.next;
  }
  const { joined } = await alice.call<{ joined: Record<string, unknown> }>("GET", `/rooms/${encodeURIComponent(roomId)}/joined_members`);
  expect(new Set(seen).size).toBe(seen.length);
  expect([...seen, late.userId].toSorted()).toEqual(Object.keys(joined).toSorted());
  const delta = await session.until((answer) => answer["room_members"]?.events);
  expect(delta.map((event: { state_key: string }) => event.state_key)).toEqual([late.userId]);
});
