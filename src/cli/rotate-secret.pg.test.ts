/** The command `syncv3 rotate-secret`. */

import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from "vitest";
import { runCommand, type RunningCommand } from "../../test/support/command.ts";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { type FakeHomeserver, newRoom, startFakeHomeserver, toDevice, v2 } from "../../test/support/fake-homeserver.ts";
import { V3Client } from "../../test/support/v3.ts";

vi.setConfig({ testTimeout: 60_000 });

let database: TestDatabase;
let homeserver: FakeHomeserver;
let directory = "";
let data = "";
let url = "";
beforeEach(async () => {
  database = await freshDatabase();
  homeserver = await startFakeHomeserver();
  directory = await mkdtemp(join(tmpdir(), "syncv3-rotate-"));
  data = join(directory, "data");
});
afterEach(async () => {
  await homeserver.stop();
  await database.drop();
  await rm(directory, { recursive: true, force: true });
});

function run(args: readonly string[], env: Record<string, string> = {}): RunningCommand {
  const command = runCommand([...args, "-db", database.dsn, "-data", data], { XDG_DATA_HOME: directory, ...env });
  onTestFinished(() => command.signal("SIGKILL"));
  return command;
}

async function serve(env: Record<string, string> = {}): Promise<RunningCommand> {
  const command = run(["-server", homeserver.url, "-port", "127.0.0.1:0"], env);
  url = (await command.line(/listening/)).replace(/^ *listening */, "");
  return command;
}

async function stop(command: RunningCommand): Promise<void> {
  command.signal("SIGTERM");
  expect((await command.ended).code).toBe(0);
}

function alice(): V3Client {
  const token = homeserver.login("@alice:test", "PHONE");
  homeserver.queueSync(token, v2({ join: { "!a:test": { state: newRoom("@alice:test") } } }));
  return new V3Client(() => url, "@alice:test", "PHONE", token);
}

test("a secret in the data directory: polling continues by itself, sessions start from scratch, and no to-device message is lost", async () => {
  let server = await serve();
  const client = alice();
  const first = await client.sync({ to_device: {} });
  await homeserver.waitForPoll(client.token);
  homeserver.queueSync(client.token, v2({ to_device: [toDevice("@bob:test", { n: 1 })] }));
  await homeserver.waitForPoll(client.token);
  const refused = await run(["rotate-secret"]).ended;
  expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("Stop all servers on it")]);
  await stop(server);

  const before = await readFile(join(data, "secret"), "utf8");
  const done = await run(["rotate-secret"]).ended;
  expect(done).toMatchObject({ code: 0, stdout: expect.stringContaining("Encrypted 1 access token with the new secret") });
  expect(await readFile(join(data, "secret"), "utf8")).not.toBe(before);
  expect((await stat(join(data, "secret"))).mode & 0o777).toBe(0o600);
  expect(await readdir(data)).not.toContain("secret.next");

  const polls = homeserver.polls(client.token).length;
  server = await serve();
  await homeserver.waitForRequest({ path: /sync$/, token: client.token }, polls + 1);
  expect(await client.request({}, { since: first.next })).toMatchObject({ status: 400, body: { errcode: "M_UNKNOWN_SYNC_SESSION" } });
  expect((await client.sync({ to_device: {} }))["to_device"].events).toHaveLength(1);
  expect(await database.sql`select from tokens`).toHaveLength(1);
  await stop(server);
});

test("secrets that are given; a wrong old secret changes nothing", async () => {
  const server = await serve({ SYNCV3_SECRET: "hush, old one" });
  const client = alice();
  await client.sync({});
  await stop(server);
  const wrong = await run(["rotate-secret"], { SYNCV3_SECRET: "not the secret", SYNCV3_NEW_SECRET: "hush, new one" }).ended;
  expect([wrong.code, wrong.stderr]).toEqual([1, expect.stringContaining("nothing was changed")]);
  const right = await run(["rotate-secret"], { SYNCV3_SECRET: "hush, old one", SYNCV3_NEW_SECRET: "hush, new one" }).ended;
  expect(right).toMatchObject({ code: 0, stdout: expect.stringContaining("Start all servers with the new secret") });
  expect(right.stdout + right.stderr).not.toContain("hush");
  const polls = homeserver.polls(client.token).length;
  const again = await serve({ SYNCV3_SECRET: "hush, new one" });
  await homeserver.waitForRequest({ path: /sync$/, token: client.token }, polls + 1);
  await stop(again);
});

test("after a crash between the commit and the new file, it continues with the secret that it had begun with", async () => {
  const server = await serve();
  const client = alice();
  await client.sync({});
  await stop(server);
  const old = await readFile(join(data, "secret"), "utf8");
  expect((await run(["rotate-secret"]).ended).code).toBe(0);
  // The state before the rename of the new file.
  const next = await readFile(join(data, "secret"), "utf8");
  await writeFile(join(data, "secret.next"), next, { mode: 0o600 });
  await writeFile(join(data, "secret"), old, { mode: 0o600 });
  expect(await run(["rotate-secret"]).ended).toMatchObject({ code: 0, stdout: expect.stringContaining("1 access token ") });
  expect(await readFile(join(data, "secret"), "utf8")).toBe(next);
});
