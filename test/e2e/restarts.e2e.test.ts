import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type EmbeddedDatabase, startEmbeddedDatabase } from "../../src/cli/embedded-database.ts";
import { migrate } from "../../src/store/migrate.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { Front } from "../support/front.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";

const { url: homeserver, users } = sharedSynapse();
let directory: string;
let database: EmbeddedDatabase;
let front: Front;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "syncv3-restarts-"));
  database = await startEmbeddedDatabase({ directory });
  await migrate(database.options, silentLogger());
  front = await new Front(homeserver, database.options).start();
});
afterAll(async () => {
  await front.stop();
  await database.stop();
  await rm(directory, { recursive: true });
});

it("D22 I6: syncv3 and PostgreSQL restart in the middle: every message and every event once, in order", async () => {
  const alice = await users.registerUser("restart-alice");
  const bob = await users.registerUser("restart-bob");
  const roomId = await alice.createRoom({ preset: "public_chat", name: "Restarts" });
  await bob.join(roomId);
  const client = front.client(alice);
  const bodies: string[] = [];
  const messages: number[] = [];
  let since: string | undefined;
  const step = async (timeout: number, body = {}) => {
    const answer = await client.sync(body, { since, timeout });
    since = answer.next;
    for (const event of answer["room"]?.rooms[roomId]?.timeline?.events ?? []) if (event.type === "m.room.message") bodies.push(event.content.body);
    for (const event of answer["to_device"]?.events ?? []) messages.push(event.content.n);
  };
  let sent = 0;
  const send = async () => {
    await bob.send(roomId, `message ${sent}`);
    await bob.sendToDevice("m.test", { [alice.userId]: { [alice.deviceId]: { n: sent } } });
    sent += 1;
  };
  const catchUp = async () => {
    while (bodies.length < sent || messages.length < sent) await step(10_000);
  };
  const restarts = [
    () => front.restart(),
    async () => {
      // The database goes away below a running server, and comes back.
      await database.stop();
      database = await startEmbeddedDatabase({ directory });
    },
    async () => {
      await front.stop();
      await send();
      await database.stop();
      database = await startEmbeddedDatabase({ directory });
      await front.start();
    },
  ];
  await step(0, { room: { room_id: roomId }, to_device: {} });
  for (const restart of restarts) {
    await send();
    await catchUp();
    await send();
    await restart();
    await send();
    await catchUp();
  }
  expect(bodies).toEqual(Array.from({ length: sent }, (_, i) => `message ${i}`));
  expect(messages).toEqual(Array.from({ length: sent }, (_, i) => i));
});
