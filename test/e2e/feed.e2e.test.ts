/** The feed (S6) on Synapse: what its `/sync` leaves out after an absence, and what of a room is not the user's. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { FeedReader } from "../support/feed.ts";
import { Front } from "../support/front.ts";
import { ids } from "../support/rooms.ts";
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

/** The ids of so many messages, sent one after the other. */
async function talk(user: TestUser, room: string, count: number): Promise<string[]> {
  const sent: string[] = [];
  // oxlint-disable-next-line no-await-in-loop -- in this order
  for (let n = 0; n < count; n += 1) sent.push(await user.send(room, `message ${n}`));
  return sent;
}

it(
  "M85 M87 M90: Synapse's limited timelines are filled, in the room's order; the feed of a new room begins with the own join",
  { timeout: 240_000 },
  async () => {
    const [bot, bob] = await Promise.all(["bot", "bob"].map((name) => users.registerUser(`feed-${name}`)));
    if (!bot || !bob) throw new Error("two are two");
    const [known, later] = [await bob.createRoom({ preset: "public_chat" }), await bob.createRoom({ preset: "public_chat" })];
    await bot.join(known);
    await talk(bob, known, 3);
    await talk(bob, later, 3);
    const feed = await FeedReader.start(front.client(bot));
    const before = await talk(bob, known, 2);
    await feed.until(2);
    await front.stop();
    const missed = await talk(bob, known, 130);
    const [redacted = ""] = missed;
    await bob.call("PUT", `/rooms/${encodeURIComponent(known)}/redact/${encodeURIComponent(redacted)}/x`, {});
    await bot.join(later);
    const afterJoin = await talk(bob, later, 70);
    await front.start();
    await feed.until(2 + 131 + 71);
    expect(feed.entries.filter(({ gap }) => gap)).toEqual([]);
    const of = (room: string) => feed.entries.flatMap(({ event }) => (event?.room_id === room ? [event] : []));
    const [first, ...rest] = of(later);
    expect(first).toMatchObject({ type: "m.room.member", state_key: bot.userId, content: { membership: "join" } });
    expect(ids(rest)).toEqual(afterJoin);
    expect(ids(of(known)).slice(0, -1)).toEqual([...before, ...missed]);
    expect(of(known).at(-1)).toMatchObject({ type: "m.room.redaction" });
    expect(feed.entries.find(({ event }) => event?.event_id === redacted)?.event).toMatchObject({ content: {} });
  },
);
