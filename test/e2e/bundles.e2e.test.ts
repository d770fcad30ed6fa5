/** T7: what a real Synapse bundles with events, for accounts that have them already: each API bundles the same. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { type BundledById, bundledIn, bundlesOf, everyApi } from "../support/bundles.ts";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import type { MatrixEvent } from "../support/events.ts";
import { Front } from "../support/front.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import type { Json, TestUser } from "../support/synapse-api.ts";

const synapse = sharedSynapse();
let database: TestDatabase;
let front: Front;
beforeAll(async () => {
  database = await freshDatabase();
  front = await new Front(synapse.url, database.options).start();
});
afterAll(async () => {
  await front.stop();
  await database.drop();
});

/** What a first v2 sync bundles. */
async function bundledByV2(user: TestUser, room: string): Promise<BundledById> {
  const filter = encodeURIComponent(JSON.stringify({ room: { timeline: { limit: 50 } } }));
  type Sync = { rooms: { join: Record<string, { timeline: { events: MatrixEvent[]; limited: boolean } }> } };
  const timeline = (await user.call<Sync>("GET", `/sync?filter=${filter}`)).rooms.join[room]?.timeline;
  expect(timeline?.limited).toBe(true);
  return bundledIn(timeline?.events ?? []);
}

/** Without whether the user participated in threads: Synapse caches that, and sends what it was when somebody first asked. */
function comparable<T>(bundles: T): T {
  return JSON.parse(JSON.stringify(bundles, (key, value: unknown) => (key === "m.thread" ? (value as unknown[]).slice(0, 2) : value))) as T;
}

const relating = (relation: string, to: string, text: string): Json => ({
  msgtype: "m.text",
  body: text,
  "m.relates_to": { rel_type: relation, event_id: to },
  ...(relation === "m.replace" && { "m.new_content": { msgtype: "m.text", body: text } }),
});

it("T7: edits, threads and references, as they come, are edited, redacted, and their senders ignored", async () => {
  const [me, bob, eve] = [
    await synapse.users.registerUser("alice-t7"),
    await synapse.users.registerUser("bob-t7"),
    await synapse.users.registerUser("eve-t7"),
  ];
  const room = await me.createRoom({ preset: "public_chat" });
  for (const other of [bob, eve]) await other.join(room); // oxlint-disable-line no-await-in-loop -- in this order
  for (let n = 0; n < 60; n += 1) await bob.send(room, `before ${n}`); // oxlint-disable-line no-await-in-loop -- in this order
  const root = await bob.send(room, "root");
  const [early, poll] = [await bob.send(room, relating("m.replace", root, "early edit")), await bob.send(room, "poll")];
  const firstReply = await eve.send(room, relating("m.thread", root, "first reply"));
  const client = front.client(me);
  /** Waits until each API bundles what Synapse does, which is something, or nothing. */
  const expectSame = async (events: number): Promise<void> => {
    const theirs = comparable(await bundledByV2(me, room));
    expect(Object.keys(theirs)).toHaveLength(events);
    await expect.poll(async () => comparable(await bundlesOf(client, room)), { timeout: 20_000 }).toEqual(everyApi(theirs));
  };
  await expectSame(1);
  const redact = (user: TestUser, id: string) =>
    user.call("PUT", `/rooms/${encodeURIComponent(room)}/redact/${encodeURIComponent(id)}/r${id.slice(1)}`, {});
  const late = await bob.send(room, relating("m.replace", root, "late edit"));
  const reply = await me.send(room, relating("m.thread", root, "my reply"));
  const edited = await me.send(room, relating("m.replace", reply, "my edited reply"));
  const vote = await eve.send(room, relating("m.reference", poll, "vote"));
  await bob.send(room, relating("m.reference", poll, "another vote"));
  await bob.send(room, relating("m.replace", late, "edit of an edit"));
  await expectSame(3);
  await redact(bob, late);
  await redact(me, edited);
  await redact(eve, vote);
  await expectSame(2);
  await eve.send(room, relating("m.thread", root, "evil reply"));
  await expectSame(2);
  await me.call("PUT", `/user/${encodeURIComponent(me.userId)}/account_data/m.ignored_user_list`, { ignored_users: { [eve.userId]: {} } });
  await expectSame(2);
  await redact(me, reply);
  await expectSame(2);
  await redact(bob, early);
  await redact(eve, firstReply);
  await expectSame(1);
});
