/** The embedded database, with real servers that are killed. */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { beforeEach, expect, onTestFinished, test, vi } from "vitest";

import { runCommand, type RunningCommand } from "../../test/support/command.ts";
import { parseDsn } from "../config/dsn.ts";
import { connect } from "../store/db.ts";
import { startEmbeddedDatabase } from "./embedded-database.ts";

vi.setConfig({ testTimeout: 60_000 });

/** A start takes 0.2 s on an idle machine, and more while all tests run; 3 s are allowed when idle. Waiting for a process that never ends would take 30 s. */
const QUICK_MS = 10_000;

let directory = "";
beforeEach(async () => {
  const made = await mkdtemp(join(tmpdir(), "syncv3-embedded-"));
  directory = join(made, "data");
  onTestFinished(() => rm(made, { recursive: true, force: true }));
});

function start(): RunningCommand {
  const command = runCommand([directory], {}, "test/support/run-embedded.ts");
  // Whatever the test leaves behind.
  onTestFinished(async () => {
    command.signal("SIGKILL");
    const pid = await serverPid();
    if (pid !== undefined) quietly(() => process.kill(pid, "SIGKILL"));
  });
  return command;
}

async function serverPid(): Promise<number | undefined> {
  const pid = Number((await readFile(join(directory, "postgresql/postmaster.pid"), "utf8").catch(() => "")).split("\n")[0]);
  // A number that no process can have means that there is none.
  return Number.isSafeInteger(pid) && pid > 0 && pid < 2 ** 30 ? pid : undefined;
}

function quietly(body: () => void): void {
  try {
    body();
  } catch {
    // It has ended.
  }
}

/** Runs one statement on the database that `line` (`up DSN`) names. */
async function query(line: string, statement: string): Promise<readonly Record<string, unknown>[]> {
  const sql = connect(parseDsn(line.replace("up ", "")), 1);
  try {
    return await sql.unsafe(statement);
  } finally {
    await sql.end();
  }
}

test("after a kill of all its processes it starts again at once, with everything that was committed", async () => {
  const first = start();
  await query(await first.line(/^up/), "create table kept as select 1 as value");
  for (let round = 0; round < 3; round++) {
    const pid = await serverPid();
    if (pid === undefined) throw new Error("there is no server");
    const earlier = round === 0 ? first : undefined;
    earlier?.signal("SIGKILL");
    process.kill(pid, "SIGKILL");
    const started = performance.now();
    const again = start();
    const line = await again.line(/^up/);
    expect(performance.now() - started).toBeLessThan(QUICK_MS);
    expect(await query(line, "select value from kept")).toMatchObject([{ value: 1 }]);
    again.signal("SIGKILL");
    await again.ended;
  }
});

test("a server whose syncv3 was killed is stopped, and another started", async () => {
  const first = start();
  await query(await first.line(/^up/), "create table kept as select 1 as value");
  const pid = await serverPid();
  first.signal("SIGKILL");
  await first.ended;
  const second = start();
  expect(await query(await second.line(/^up/), "select value from kept")).toMatchObject([{ value: 1 }]);
  expect(await serverPid()).not.toBe(pid);
});

test("a second process in the same directory is refused, and does not disturb the first", async () => {
  const line = await start().line(/^up/);
  const { code, stderr } = await start().ended;
  expect(code).toBe(1);
  expect(stderr).toContain("Another syncv3 is running in this data directory");
  expect(await query(line, "select 1 as value")).toMatchObject([{ value: 1 }]);
});

test("of two processes that create the database at once, one is refused and the other has a complete database", async () => {
  const both = [start(), start()];
  const outcomes = await Promise.allSettled(both.map((command) => command.line(/^up/)));
  const lines = outcomes.filter((outcome) => outcome.status === "fulfilled");
  expect(lines).toHaveLength(1);
  expect(await query(lines[0]?.value ?? "", "select 1 as value")).toMatchObject([{ value: 1 }]);
});

test("a stop leaves no process and no PID file", async () => {
  const command = start();
  await command.line(/^up/);
  const pid = await serverPid();
  command.signal("SIGTERM");
  expect((await command.ended).code).toBe(0);
  expect(await serverPid()).toBeUndefined();
  expect(() => process.kill(pid ?? 0, 0)).toThrow("ESRCH");
});

test("a server that ends by itself is started again, and the pool reconnects", async () => {
  const database = await startEmbeddedDatabase({ directory });
  onTestFinished(() => database.stop());
  const sql = connect(database.options, 1);
  onTestFinished(() => sql.end());
  const pid = await serverPid();
  process.kill(pid ?? 0, "SIGKILL");
  await expect.poll(() => serverPid().then((now) => now !== undefined && now !== pid), { timeout: 10_000 }).toBe(true);
  await expect.poll(() => sql`select 1 as value`.then(([row]) => row?.["value"]).catch(() => undefined), { timeout: 10_000 }).toBe(1);
});

test("it also works with a path that is too long for a socket", async () => {
  directory = join(directory, "x".repeat(120));
  const database = await startEmbeddedDatabase({ directory });
  const sql = connect(database.options, 1);
  expect(await sql`select 1 as value`).toMatchObject([{ value: 1 }]);
  await sql.end();
  await database.stop();
});

test("data of another PostgreSQL version is refused and left unchanged", async () => {
  const database = await startEmbeddedDatabase({ directory });
  await database.stop();
  await writeFile(join(directory, "postgresql/PG_VERSION"), "17\n");
  await expect(startEmbeddedDatabase({ directory })).rejects.toThrow("was created by PostgreSQL 17");
  // The lock was released.
  await expect(startEmbeddedDatabase({ directory })).rejects.toThrow("was created by PostgreSQL 17");
});
