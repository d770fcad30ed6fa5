/** The command as a process: its output and its end. */

import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, afterEach, beforeAll, beforeEach, expect, onTestFinished, test, vi } from "vitest";

import { runCommand, type RunningCommand } from "../../test/support/command.ts";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";

vi.setConfig({ testTimeout: 60_000 });

const homeserver = createServer((_request, response) => response.end('{"versions":["v1.1"]}'));
let server = "";
beforeAll(async () => {
  await new Promise<void>((resolve) => homeserver.listen(0, "127.0.0.1", resolve));
  server = `http://127.0.0.1:${(homeserver.address() as AddressInfo).port}`;
});
afterAll(() => {
  homeserver.closeAllConnections();
  homeserver.close();
});

let database: TestDatabase;
let directory = "";
beforeEach(async () => {
  database = await freshDatabase(true);
  directory = await mkdtemp(join(tmpdir(), "syncv3-main-"));
});
afterEach(async () => {
  await database.drop();
  await rm(directory, { recursive: true, force: true });
});

function run(args: readonly string[], env: Record<string, string> = {}): RunningCommand {
  const command = runCommand(args, { XDG_DATA_HOME: directory, ...env });
  onTestFinished(() => command.signal("SIGKILL"));
  return command;
}

const withDatabase = (): string[] => ["-server", server, "-db", database.dsn, "-data", join(directory, "data"), "-port", "127.0.0.1:0"];

async function urlOf(command: RunningCommand): Promise<string> {
  return (await command.line(/listening/)).replace(/^ *listening */, "");
}

test("it migrates, prints its address and the next step, is live and ready, and exits with 0 on SIGTERM", async () => {
  const command = run(withDatabase());
  const url = await urlOf(command);
  await command.line(/curl -X POST/);
  expect((await fetch(`${url}/health/live`)).status).toBe(200);
  expect((await fetch(`${url}/health/ready`)).status).toBe(200);
  expect(await database.sql`select name from migrations`).not.toHaveLength(0);
  expect(command.output()).toContain(`homeserver  ${server}/`);
  const told = performance.now();
  command.signal("SIGTERM");
  expect((await command.ended).code).toBe(0);
  expect(performance.now() - told).toBeLessThan(10_000);
});

test("with -db and no -secret, a secret is stored in the data directory, with a warning", async () => {
  const command = run(withDatabase());
  await urlOf(command);
  const secret = join(directory, "data/secret");
  expect((await stat(secret)).mode & 0o777).toBe(0o600);
  command.signal("SIGTERM");
  const { stderr } = await command.ended;
  expect(stderr).toContain("Other machines on this database need the same secret");
  expect(stderr).not.toContain((await readFile(secret, "utf8")).trim());
});

test("with only -server it starts its own database; SIGINT ends it too, and Ctrl-C twice does no harm", async () => {
  const command = run(["-server", server], { SYNCV3_BINDADDR: "127.0.0.1:0" });
  const url = await urlOf(command);
  expect((await fetch(`${url}/health/ready`)).status).toBe(200);
  expect(command.output()).toContain(`in ${join(directory, "syncv3")}`);
  command.signal("SIGINT");
  command.signal("SIGINT");
  expect((await command.ended).code).toBe(0);
  await expect(stat(join(directory, "syncv3/postgresql/postmaster.pid"))).rejects.toThrow("ENOENT");
});

test("a Unix socket", async () => {
  const path = join(directory, "s.sock");
  const command = run([...withDatabase(), "-port", path]);
  expect(await urlOf(command)).toContain(path);
  expect((await stat(path)).isSocket()).toBe(true);
});

test.each([
  { what: "no server", args: () => [], code: 2, message: "No homeserver is given" },
  { what: "an unknown option", args: () => ["-server", server, "-nope"], code: 2, message: "unknown option" },
  {
    what: "a homeserver that is not running",
    args: () => ["-server", "http://127.0.0.1:1"],
    code: 1,
    message: "no homeserver can be reached at http://127.0.0.1:1/",
  },
  {
    what: "a database that is not running",
    args: () => ["-server", server, "-db", "host=127.0.0.1 port=1 user=u"],
    code: 1,
    message: "cannot connect to PostgreSQL at 127.0.0.1:1",
  },
])("$what: one message, nothing else, and exit code $code", async ({ args, code, message }) => {
  const result = await run([...args(), "-data", join(directory, "data")]).ended;
  expect(result.code).toBe(code);
  expect(result.stderr).toContain(message);
  expect(
    result.stderr
      .replace(/^\{.*\n/gm, "")
      .trimEnd()
      .split("\n"),
  ).toHaveLength(1);
});

test("a port that is in use: the message says what to do", async () => {
  const command = run([...withDatabase(), "-port", new URL(server).host]);
  const { code, stderr } = await command.ended;
  expect(code).toBe(1);
  expect(stderr).toContain("Give another");
});

test("--version and --help", async () => {
  expect(await run(["--version"]).ended).toEqual({ code: 0, stdout: "0.1.0\n", stderr: "" });
  expect((await run(["--help"]).ended).stdout).toContain("SYNCV3_SERVER");
});
