/** PostgreSQL that cannot just now: clients see delay, nothing is lost, and nothing is taken for a fault of what was to be stored. */

import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmdirSync, writeSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { silentLogger } from "../../src/base/logger.ts";
import { startEmbeddedDatabase } from "../../src/cli/embedded-database.ts";
import { connect, type Sql } from "../../src/store/db.ts";
import { migrate } from "../../src/store/migrate.ts";
import { startV3, type V3Fixture, v3Server } from "../support/v3.ts";
import { slidingConsumer, v3Consumer } from "./consumers.ts";
import { Followers, whole } from "./followers.ts";
import { firstAnswer, numbered } from "./traffic.ts";

const t = v3Server();

let count = 0;

async function following(on = t) {
  count += 1;
  const [me, room] = [`@db${count}:test`, `!db${count}:test`];
  const client = on.login(me, "PHONE", firstAnswer(me, room));
  const followers = new Followers((changed) => [v3Consumer("session", client, room, changed), slidingConsumer("connection", client, room, changed)]);
  onTestFinished(() => followers.stop());
  await followers.begun();
  let sent = 0;
  return {
    client,
    followers,
    say: (more = 1) => {
      on.hs.queueSync(client.token, numbered(room, sent, more));
      sent += more;
    },
    allHave: () => followers.allHave(sent),
    ended: () => ({
      came: followers.reports(sent),
      wanted: Array.from({ length: 2 }, () => ({ interrupted: 0, toDevice: whole(sent), events: whole(sent) })),
    }),
  };
}

/** Enough for a database with nothing in it. */
const DISK = "150m";
const mount = (directory: string) => expect(spawnSync("mount", ["-t", "tmpfs", "-o", `size=${DISK},mode=0711`, "tmpfs", directory]).status).toBe(0);
const canMount = process.getuid?.() === 0 && isMountable();

function isMountable(): boolean {
  const directory = mkdtempSync(join(tmpdir(), "syncv3-mount-"));
  try {
    const isMounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", directory]).status === 0;
    if (isMounted) spawnSync("umount", [directory]);
    return isMounted;
  } finally {
    rmdirSync(directory);
  }
}

/** Writes until nothing more fits. */
function fill(path: string): void {
  const file = openSync(path, "w");
  try {
    for (let size = 1_048_576; size >= 1024;) {
      try {
        writeSync(file, Buffer.alloc(size));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
        size /= 4;
      }
    }
  } finally {
    closeSync(file);
  }
}

/** A server on a PostgreSQL of its own. */
async function startOn(directory: string): Promise<{ readonly own: V3Fixture; readonly sql: Sql }> {
  const database = await startEmbeddedDatabase({ directory });
  onTestFinished(() => database.stop());
  await migrate(database.options, silentLogger());
  const sql = connect(database.options);
  const own = await startV3({ database: { sql, options: database.options, dsn: "", drop: () => sql.end({ timeout: 1 }) } });
  onTestFinished(() => own.stop());
  return { own, sql };
}

/** Statements that write to the table do `body` (PL/pgSQL) before. */
async function trigger(sql: Sql, table: string, body: string): Promise<() => Promise<void>> {
  await sql.unsafe(`create function hindrance() returns trigger language plpgsql as $$ begin ${body} return null; end $$`);
  await sql.unsafe(`create trigger hindrance before insert or update on ${table} for each statement execute function hindrance()`);
  return async () => {
    await sql.unsafe(`drop trigger hindrance on ${table}`);
    await sql`drop function hindrance`;
  };
}

test.each(["timeline", "to_device", "accounts"])(
  "I6 B38: its disk is full while %s is written: everything is sent when there is room again",
  { timeout: 120_000 },
  async (table) => {
    const user = await following();
    user.say();
    await user.allHave();
    await t.hs.waitForPoll(user.client.token);
    const polls = t.hs.polls(user.client.token).length;
    const heal = await trigger(t.sql, table, `raise exception 'could not extend file' using errcode = '53100';`);
    user.say();
    // The same is asked for again.
    await t.hs.waitForRequest({ path: /\/sync$/, token: user.client.token }, polls + 2, 30_000);
    await heal();
    user.say();
    await user.allHave();
    expect(await t.sql`select from poison`).toHaveLength(0);
    const { came, wanted } = user.ended();
    expect(came).toMatchObject(wanted);
  },
);

test.runIf(canMount)(
  "I6 B38: a real disk that is full (skipped where a small one cannot be mounted): everything is sent when there is room again",
  { timeout: 180_000 },
  async () => {
    const directory = await mkdtemp(join(tmpdir(), "syncv3-full-"));
    onTestFinished(() => rm(directory, { recursive: true, force: true }));
    mount(directory);
    onTestFinished(() => void spawnSync("umount", [directory]));
    const { own, sql } = await startOn(directory);
    const user = await following(own);
    user.say();
    await user.allHave();
    await own.hs.waitForPoll(user.client.token);
    const filler = join(directory, "filler");
    fill(filler);
    const polls = own.hs.polls(user.client.token).length;
    // More than fits into the pages that are there, and no more than a timeline shows.
    user.say(90);
    const again = await own.hs.waitForRequest({ path: /\/sync$/, token: user.client.token }, polls + 2, 20_000);
    expect(again.query.get("since")).toBe(own.hs.polls(user.client.token)[polls - 1]?.query.get("since"));
    await rm(filler);
    user.say();
    await user.allHave();
    expect(await sql`select from poison`).toHaveLength(0);
    const { came, wanted } = user.ended();
    expect(came).toMatchObject(wanted);
  },
);

test("D22 R11: a session that a client has received still exists after a kill -9 of PostgreSQL", { timeout: 120_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-killed-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const { own } = await startOn(directory);
  const client = own.login("@killed:test", "PHONE", firstAnswer("@killed:test", "!killed:test"));
  await client.sync({ room_list: {} });
  for (const body of [{}, { room_list: {} }, { to_device: {} }, {}]) {
    const { next } = await client.sync(body);
    const pid = Number((await readFile(join(directory, "postgresql/postmaster.pid"), "utf8")).split("\n")[0]);
    process.kill(pid, "SIGKILL");
    const reply = await client.request({}, { since: next, timeout: 0 });
    expect([reply.status, reply.text]).toEqual([200, expect.any(String)]);
  }
});

test("I6: statements that take a second each", { timeout: 120_000 }, async () => {
  const user = await following();
  const heal = await trigger(t.sql, "timeline", "perform pg_sleep(1);");
  for (let i = 0; i < 3; i += 1) user.say();
  await user.allHave();
  await heal();
  const { came, wanted } = user.ended();
  expect(came).toMatchObject(wanted);
});

test("I6: no database connection is free, then connections are cut, and others take those that become free", { timeout: 180_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-storm-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const database = await startEmbeddedDatabase({ directory, settings: { max_connections: "20", superuser_reserved_connections: "3" } });
  onTestFinished(() => database.stop());
  await migrate(database.options, silentLogger());
  const admin = connect(database.options, 1);
  await admin`create role plain login`;
  await admin`grant all on schema public to plain`;
  await admin`grant all on all tables in schema public to plain`;
  await admin`grant all on all sequences in schema public to plain`;
  await admin`grant pg_signal_backend to plain`;
  const options = { ...database.options, username: "plain" };
  const sql = connect(options);
  const own = await startV3({ database: { sql, options, dsn: "", drop: () => sql.end({ timeout: 1 }) } });
  onTestFinished(async () => {
    await own.stop();
    await admin.end();
  });
  const user = await following(own);
  user.say();
  await user.allHave();
  // The server's connections are cut, and what is free goes to somebody else, for a while.
  const crowd = connect(options, 20);
  const [{ before } = { before: 0 }] = await admin<{ before: number }[]>`select count(*) as before from pg_stat_activity where usename = 'plain'`;
  expect(before).toBeGreaterThan(0);
  await admin`select pg_terminate_backend(pid) from pg_stat_activity where usename = 'plain'`;
  const held = Array.from({ length: 20 }, () => crowd`select pg_sleep(3)`.catch(() => {}));
  user.say();
  user.say();
  await Promise.all(held);
  await crowd.end();
  await user.allHave();
  const { came, wanted } = user.ended();
  expect(came).toMatchObject(wanted);
});
