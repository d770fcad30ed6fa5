/** T4, T5: messages that a Synapse does not show any more: they have expired, or their sender was banned. */

import { afterAll, beforeAll, expect, it } from "vitest";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import type { MatrixEvent } from "../support/events.ts";
import { Front } from "../support/front.ts";
import { DAY_MS, everywhere, HOUR_MS, shownBy, shownTexts } from "../support/message-times.ts";
import type { TestUser } from "../support/synapse-api.ts";
import { startSynapse, type Synapse } from "../support/synapse.ts";

let synapse: Synapse;
let database: TestDatabase;
let front: Front;
beforeAll(async () => {
  const retention = { enabled: true, default_policy: { max_lifetime: "30d" } };
  synapse = await startSynapse({ more: { retention, experimental_features: { msc1763_enabled: true, msc4293_enabled: true } } });
  database = await freshDatabase();
  front = await new Front(synapse.url, database.options).start();
});
afterAll(async () => {
  await front.stop();
  await database.drop();
  await synapse.stop();
});

/** Sends a message as if that long ago, which only users of an application service may. */
async function sentAgo(user: TestUser, room: string, ms: number): Promise<void> {
  const path = `/rooms/${encodeURIComponent(room)}/send/m.room.message/ago${ms}?ts=${Date.now() - ms}`;
  await user.call("PUT", path, { msgtype: "m.text", body: `${ms} ms ago` });
}

/** What a first v2 sync shows. */
async function timelineOf(user: TestUser, room: string): Promise<MatrixEvent[]> {
  const filter = encodeURIComponent(JSON.stringify({ room: { timeline: { limit: 20 } } }));
  type Sync = { rooms: { join: Record<string, { timeline: { events: MatrixEvent[] } }> } };
  return (await user.call<Sync>("GET", `/sync?filter=${filter}`)).rooms.join[room]?.timeline.events ?? [];
}

const bodies = (events: readonly MatrixEvent[]) => events.flatMap(({ content: { body } }) => (typeof body === "string" ? [body] : []));

it("T4: a fresh client of each API sees the messages that a first v2 sync shows: by the default policy, and by the room's", async () => {
  const [me, puppet] = [await synapse.users.registerUser("alice-t4"), await synapse.users.registerPuppet("puppet-t4")];
  const room = await me.createRoom({ preset: "public_chat" });
  await puppet.join(room);
  for (const ms of [40 * DAY_MS, 20 * DAY_MS, 2 * DAY_MS, HOUR_MS]) {
    // oxlint-disable-next-line no-await-in-loop -- in this order
    await sentAgo(puppet, room, ms);
  }
  const expectSame = async (messages: number): Promise<void> => {
    const truth = await timelineOf(me, room);
    expect(bodies(truth)).toHaveLength(messages);
    await expect.poll(() => shownBy(front.client(me), room)).toEqual(everywhere(truth));
  };
  await expectSame(3);
  await me.setState(room, "m.room.retention", "", { max_lifetime: DAY_MS });
  await expectSame(1);
  await me.setState(room, "m.room.retention", "", { max_lifetime: 1 });
  await expectSame(0);
  await me.setState(room, "m.room.retention", "", { max_lifetime: 3 * DAY_MS });
  await expectSame(2);
});

it("T5: what a ban has redacted, for an account that has it in full already", async () => {
  const [me, eve] = [await synapse.users.registerUser("alice-t5"), await synapse.users.registerUser("eve-t5")];
  const room = await me.createRoom({ preset: "public_chat" });
  await eve.join(room);
  for (const [who, text] of [
    [eve, "spam 1"],
    [me, "hello"],
    [eve, "spam 2"],
  ] as const) {
    // oxlint-disable-next-line no-await-in-loop -- in this order
    await who.send(room, text);
  }
  await expect.poll(() => shownTexts(front.client(me), room)).toEqual(["spam 1", "hello", "spam 2"]);
  await me.call("POST", `/rooms/${encodeURIComponent(room)}/ban`, { user_id: eve.userId, "org.matrix.msc4293.redact_events": true });
  await expect.poll(() => shownTexts(front.client(me), room)).toEqual([null, "hello", null]);
  expect(bodies(await timelineOf(me, room))).toEqual(["hello"]);
});
