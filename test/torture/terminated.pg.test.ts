/** Connections to PostgreSQL that are ended again and again, whatever they are doing: no process ends, and nothing is lost. */

import { setTimeout as delay } from "node:timers/promises";
import { expect, onTestFailed, onTestFinished, test } from "vitest";
import { connect } from "../../src/store/db.ts";
import { runCommand } from "../support/command.ts";
import { freshDatabase } from "../support/database.ts";
import { startFakeHomeserver } from "../support/fake-homeserver.ts";
import { V3Client } from "../support/v3.ts";
import { slidingConsumer, v3Consumer } from "./consumers.ts";
import { Followers, whole } from "./followers.ts";
import { firstAnswer, numbered } from "./traffic.ts";

/** SYNCV3_TEST_TERMINATIONS: how many rounds there are, in the long form 1000. */
const ROUNDS = Number(process.env["SYNCV3_TEST_TERMINATIONS"] ?? 24);
/** After so many rounds the server gets the time to store what is waiting, so that terminations keep meeting polls that store something. */
const BREATH = 20;
const [ME, ROOM] = ["@ended:test", "!ended:test"];

test.each(["1", "2"])("N8: all connections are terminated again and again, with %s workers", { timeout: 60_000 + ROUNDS * 1000 }, async (workers) => {
  const [database, homeserver] = [await freshDatabase(), await startFakeHomeserver()];
  const where = ["-server", homeserver.url, "-db", database.dsn, "-secret", "of the test", "-port", "127.0.0.1:0", "-workers", workers];
  const command = runCommand(where);
  onTestFailed(() => void process.stderr.write(command.log().slice(-10_000)));
  onTestFinished(async () => {
    command.signal("SIGKILL");
    await command.ended;
    await homeserver.stop();
    await database.drop();
  });
  const url = (await command.line(/^ *listening/)).trim().split(/ +/)[1] ?? "";
  const token = homeserver.login(ME, "PHONE");
  homeserver.queueSync(token, firstAnswer(ME, ROOM));
  const client = new V3Client(() => url, ME, "PHONE", token);
  const followers = new Followers((changed) => [v3Consumer("session", client, ROOM, changed), slidingConsumer("connection", client, ROOM, changed)]);
  onTestFinished(() => followers.stop());
  await followers.begun();
  const admin = connect(database.options, 1);
  onTestFinished(() => admin.end({ timeout: 1 }));
  let ended = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    homeserver.queueSync(token, numbered(ROOM, round, 1));
    // From at once to after it is stored: set-up, statements, commits and LISTEN all get their share.
    await delay((round * 7) % 40);
    const rows = await admin`
      select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`;
    ended += rows.length;
    if (round % BREATH === BREATH - 1) await followers.someHave(round - BREATH / 2);
  }
  await followers.allHave(ROUNDS);
  // Fewer than rounds where a connection pauses before it is made again.
  expect(ended).toBeGreaterThan(ROUNDS / 3);
  for (const report of followers.reports(ROUNDS)) expect(report).toMatchObject({ toDevice: whole(ROUNDS), events: whole(ROUNDS) });
  expect(command.log()).not.toMatch(/A worker has ended|unhandled/i);
  process.stdout.write(`${ended} connections ended in ${ROUNDS} rounds with ${workers} workers\n`);
  command.signal("SIGTERM");
  expect((await command.ended).code).toBe(0);
});
