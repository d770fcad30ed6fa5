/** The library in front of a real homeserver: three followers of one device, through both APIs. */

import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../../test/support/database.ts";
import { Front } from "../../../test/support/front.ts";
import { sharedSynapse } from "../../../test/support/shared-synapse.ts";
import type { TestUser } from "../../../test/support/synapse-api.ts";
import { accountStatus, Connection, listSessions, type MatrixEvent, request, type Told, type ToDeviceMessage, V3Session } from "../src/index.ts";

const MESSAGES = 30;
const { url: homeserver, users } = sharedSynapse();
let database: TestDatabase;
let front: Front;
let alice: TestUser;
let bob: TestUser;
beforeAll(async () => {
  database = await freshDatabase();
  front = await new Front(homeserver, database.options).start();
  alice = await users.registerUser("library-alice");
  bob = await users.registerUser("library-bob");
});
afterAll(async () => {
  await front.stop();
  await database.drop();
});

type Had = { readonly events: readonly MatrixEvent[]; readonly messages?: readonly ToDeviceMessage[] };

/** What a follower is told, until it has all. */
async function collect<Answer>(answers: AsyncGenerator<Told<Answer>, void>, of: (answer: Answer) => Had) {
  const begun = Promise.withResolvers<void>();
  const had = { events: [] as unknown[], messages: [] as unknown[] };
  const all = (async () => {
    for await (const { answer } of answers) {
      const { events, messages } = of(answer);
      had.events.push(
        ...events.filter(({ type, sender }) => type === "m.room.message" && sender === bob.userId).map(({ content }) => content["body"]),
      );
      had.messages.push(...(messages ?? []).map(({ content }) => content["n"]));
      begun.resolve();
      if (had.events.length >= MESSAGES && (!messages || had.messages.length >= MESSAGES)) break;
    }
    return had;
  })();
  await Promise.race([begun.promise, all]);
  return { all };
}

test("each client receives every event and every to-device message once, in order", { timeout: 180_000 }, async () => {
  const roomId = await alice.createRoom({ preset: "public_chat", name: "Library" });
  await bob.join(roomId);
  const server = { baseUrl: front.url, accessToken: alice.accessToken };
  const stop = new AbortController();
  onTestFinished(() => stop.abort());
  const options = { signal: stop.signal, timeout: 10_000 };

  const session = await V3Session.open(server);
  session.ask({ room: { room_id: roomId, timeline_limit: 100 }, to_device: {} });
  const simplified = await Connection.simplified(server, {
    conn_id: "one",
    room_subscriptions: { [roomId]: { timeline_limit: 100, required_state: [["m.room.name", ""]] } },
  });
  const v4 = await Connection.v4(server, {
    conn_id: "two",
    room_subscriptions: { [roomId]: { timeline_limit: 100, required_state: { include: [{ type: "m.room.name" }] } } },
    extensions: { to_device: { enabled: true } },
  });
  const followers = await Promise.all([
    collect(session.answers(options), ({ room, to_device }) => ({
      events: room?.rooms?.[roomId]?.timeline?.events ?? [],
      messages: to_device?.events ?? [],
    })),
    collect(simplified.answers(options), ({ rooms }) => ({ events: rooms[roomId]?.timeline ?? [] })),
    collect(v4.answers(options), ({ rooms, extensions }) => ({
      events: rooms[roomId]?.timeline ?? [],
      messages: extensions.to_device?.events ?? [],
    })),
  ]);
  for (let n = 0; n < MESSAGES; n += 1) {
    await bob.sendToDevice("org.example.n", { [alice.userId]: { [alice.deviceId]: { n } } });
    await bob.send(roomId, `message ${n}`);
  }
  const numbers = Array.from({ length: MESSAGES }, (_, n) => n);
  const events = numbers.map((n) => `message ${n}`);
  const [byV3, bySimplified, byV4] = await Promise.all(followers.map(({ all }) => all));
  expect(byV3).toEqual({ events, messages: numbers });
  expect(bySimplified).toEqual({ events, messages: [] });
  expect(byV4).toEqual({ events, messages: numbers });
  expect((await listSessions(server)).map(({ kind }) => kind)).toEqual(expect.arrayContaining(["connection", "connection", "v3"]));
  expect(await accountStatus(server)).toMatchObject({ state: "synced", rooms: 1 });
  expect(await request(server, "GET", "/_matrix/client/v3/account/whoami")).toMatchObject({ user_id: alice.userId });
});
