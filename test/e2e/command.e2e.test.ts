import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type RunningCommand, runCommand } from "../support/command.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import { V3Client } from "../support/v3.ts";

const { url: homeserver, users } = sharedSynapse();
let directory: string;
let command: RunningCommand;
let url = "";

async function start(): Promise<void> {
  command = runCommand(["-server", homeserver, "-data", directory, "-port", "127.0.0.1:0", "-loglevel", "warn"]);
  url = (await command.line(/^ *listening +http/)).trim().split(/ +/)[1] ?? "";
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "syncv3-command-"));
  await start();
});
afterAll(async () => {
  command.signal("SIGTERM");
  await command.ended;
  await rm(directory, { recursive: true });
});

it("R23: SIGTERM answers the polls that wait, exits with 0, and the next start goes on where they were", async () => {
  const alice = await users.registerUser("command-alice");
  const client = new V3Client(() => url, alice.userId, alice.deviceId, alice.accessToken);
  const first = await client.sync({ to_device: {}, room_list: {} });
  const waiting = client.request({}, { since: first.next, timeout: 60_000 });
  // A second request of the device is answered after the first one is under way.
  await client.fetch("GET", "/_matrix/client/unstable/syncv3/sessions");
  command.signal("SIGTERM");
  const answer = await waiting;
  expect(answer.status).toBe(200);
  expect(Object.keys(answer.body)).toEqual(["next"]);
  expect((await command.ended).code).toBe(0);
  await alice.sendToDevice("m.test", { [alice.userId]: { [alice.deviceId]: { n: 1 } } });
  await start();
  const later = await client.sync({}, { since: answer.body.next, timeout: 20_000 });
  expect(later["to_device"].events.map((event: { content: unknown }) => event.content)).toEqual([{ n: 1 }]);
});

it("kill -9 in mid-traffic: the next start has every to-device message, in order", async () => {
  const bob = await users.registerUser("command-bob");
  const client = new V3Client(() => url, bob.userId, bob.deviceId, bob.accessToken);
  let { next } = await client.sync({ to_device: { limit: 5 } });
  const got: number[] = [];
  const send = (n: number) => bob.sendToDevice("m.test", { [bob.userId]: { [bob.deviceId]: { n } } });
  const read = async (count: number) => {
    while (got.length < count) {
      const answer = await client.sync({}, { since: next, timeout: 20_000 });
      for (const event of answer["to_device"]?.events ?? []) got.push(event.content.n);
      next = answer.next;
    }
  };
  for (let n = 0; n < 20; n += 1) await send(n);
  await read(7);
  command.signal("SIGKILL");
  await command.ended;
  for (let n = 20; n < 30; n += 1) await send(n);
  await start();
  await read(30);
  expect(got).toEqual(Array.from({ length: 30 }, (_, n) => n));
});
