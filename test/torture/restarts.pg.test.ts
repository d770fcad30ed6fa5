/** PostgreSQL is restarted again and again under traffic: no process of the server ends, and nothing is lost. */

import { readFile } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { expect, onTestFailed, onTestFinished, test } from "vitest";
import { readStalls } from "../../src/store/stalls.ts";
import { runCommand, type RunningCommand } from "../support/command.ts";
import { type FakeHomeserver, startFakeHomeserver } from "../support/fake-homeserver.ts";
import { V3Client } from "../support/v3.ts";
import { slidingConsumer, v3Consumer } from "./consumers.ts";
import { Followers, whole } from "./followers.ts";
import { type End, ENDS, RestartingDatabase } from "./restarting-database.ts";
import { firstAnswer, numbered } from "./traffic.ts";

/** SYNCV3_TEST_RESTARTS: how many restarts there are, in the long form 100; without it, as many as CI has time for. */
const WANTED = process.env["SYNCV3_TEST_RESTARTS"];
const RESTARTS = Number(WANTED ?? Number.POSITIVE_INFINITY);
const CI_MS = 15_000;
const KINDS = Object.keys(ENDS) as End[];
const ACCOUNTS = 3;
/** Responses of the homeserver to each account between two restarts. */
const RESPONSES = 4;
/** After so many restarts the server gets the time to store what is waiting, so that restarts keep meeting polls that store something. */
const BREATH = 4;

test.each([1, 2])(
  "N8: PostgreSQL is restarted again and again, with %s workers",
  { timeout: WANTED === undefined ? 120_000 : 60_000 + RESTARTS * 10_000 },
  async (workers) => {
    const until = WANTED === undefined ? performance.now() + CI_MS : Number.POSITIVE_INFINITY;
    const [database, homeserver] = [await RestartingDatabase.start(), await startFakeHomeserver()];
    const where = ["-server", homeserver.url, "-db", database.dsn, "-secret", "of the test", "-port", "127.0.0.1:0", "-workers", String(workers)];
    const command = runCommand(where);
    onTestFailed(() => void process.stderr.write(command.log().slice(-10_000)));
    onTestFinished(async () => {
      command.signal("SIGKILL");
      await command.ended;
      await homeserver.stop();
      await database.stop();
    });
    const url = (await command.line(/^ *listening/)).trim().split(/ +/)[1] ?? "";
    const accounts = Array.from({ length: ACCOUNTS }, (_, n) => follow(homeserver, url, n));
    onTestFinished(async () => void (await Promise.all(accounts.map(({ followers }) => followers.stop()))));
    await Promise.all(accounts.map(({ followers }) => followers.begun()));
    const processes = await processesOf(command);

    let restarts = 0;
    for (; restarts < RESTARTS && (restarts < KINDS.length || performance.now() < until); restarts += 1) {
      for (const { say } of accounts) say(RESPONSES / 2);
      // From before the responses are stored to after it. The numbers repeat in no cycle that the kinds share.
      await delay((restarts * 37) % 101);
      await database.end(KINDS[restarts % KINDS.length] ?? "fast");
      for (const { say } of accounts) say(RESPONSES / 2);
      // One of the server's connections is there, or more: the next restart meets others in the middle of their set-up.
      await database.hasSessions(1 + (restarts % (2 * workers)));
      if (restarts % BREATH === BREATH - 1) await Promise.all(accounts.map(({ followers }) => followers.someHave(restarts * RESPONSES - 1)));
    }

    const sent = restarts * RESPONSES;
    await Promise.all(accounts.map(({ followers }) => followers.allHave(sent)));
    for (const report of accounts.flatMap(({ followers }) => followers.reports(sent))) {
      expect(report).toMatchObject({ toDevice: whole(sent), events: whole(sent) });
    }
    expect(await processesOf(command)).toEqual(processes);
    expect(command.log()).not.toMatch(/A worker has ended|unhandled/i);
    // Nothing was taken for a fault of the homeserver's answers, and every account advances.
    expect(await database.query((sql) => sql`select account, kind, name from poison`)).toEqual([]);
    expect(await database.query((sql) => readStalls(sql))).toMatchObject({ accounts: new Map() });
    process.stdout.write(`${restarts} restarts with ${workers} workers; ${sent} messages and events to each of ${ACCOUNTS} accounts\n`);
    command.signal("SIGTERM");
    expect((await command.ended).code).toBe(0);
  },
);

/** An account with a session and a connection of one device. */
function follow(homeserver: FakeHomeserver, url: string, n: number) {
  const [me, room] = [`@restarts${n}:test`, `!restarts${n}:test`];
  const token = homeserver.login(me, "PHONE");
  homeserver.queueSync(token, firstAnswer(me, room));
  const client = new V3Client(() => url, me, "PHONE", token);
  const followers = new Followers((changed) => [v3Consumer("session", client, room, changed), slidingConsumer("connection", client, room, changed)]);
  let sent = 0;
  return {
    followers,
    /** `count` more responses, with a message and an event each. */
    say: (count: number): void => {
      for (let i = 0; i < count; i += 1, sent += 1) homeserver.queueSync(token, numbered(room, sent));
    },
  };
}

/** The server's process and its workers. */
async function processesOf({ pid }: RunningCommand): Promise<number[]> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  return [pid, ...children.trim().split(" ").filter(Boolean).map(Number)];
}
