/** A process that stands still for longer than its lease, and wakes: it stores nothing any more, and who took over has lost nothing. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { runCommand } from "../support/command.ts";
import { freshDatabase } from "../support/database.ts";
import { startFakeHomeserver } from "../support/fake-homeserver.ts";
import { V3Client } from "../support/v3.ts";
import { slidingConsumer, v3Consumer } from "./consumers.ts";
import { Followers, whole } from "./followers.ts";
import { firstAnswer, numbered } from "./traffic.ts";

const [ME, ROOM] = ["@frozen:test", "!frozen:test"];

test("D22 B55: frozen with an answer on its way", { timeout: 180_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-frozen-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const database = await freshDatabase();
  onTestFinished(() => database.drop());
  const homeserver = await startFakeHomeserver();
  onTestFinished(() => homeserver.stop());
  const serve = async () => {
    const command = runCommand(["-server", homeserver.url, "-db", database.dsn, "-data", directory, "-port", "127.0.0.1:0"]);
    onTestFinished(async () => {
      command.signal("SIGKILL");
      await command.ended;
    });
    return { command, url: (await command.line(/listening/)).trim().split(/ +/)[1] ?? "" };
  };
  const [frozen, other] = [await serve(), await serve()];
  const token = homeserver.login(ME, "PHONE");
  homeserver.queueSync(token, firstAnswer(ME, ROOM));
  // Who is asked first polls.
  await new V3Client(() => frozen.url, ME, "PHONE", token).sync({});
  const client = new V3Client(() => other.url, ME, "PHONE", token);
  const followers = new Followers((changed) => [v3Consumer("session", client, ROOM, changed), slidingConsumer("connection", client, ROOM, changed)]);
  onTestFinished(() => followers.stop());
  await followers.begun();
  homeserver.queueSync(token, numbered(ROOM, 0, 3));
  await followers.allHave(3);

  const poll = await homeserver.waitForPoll(token);
  const [before] = await database.sql<{ owner: string; epoch: number }[]>`select owner, epoch from leases`;
  frozen.command.signal("SIGSTOP");
  homeserver.queueSync(token, numbered(ROOM, 3, 3));
  await followers.allHave(6);
  expect(poll.sentAt, "the frozen process has had the same answer").toBeDefined();
  const [after] = await database.sql<{ owner: string; epoch: number }[]>`select owner, epoch from leases`;
  expect(after?.owner).not.toBe(before?.owner);
  expect(after?.epoch).toBeGreaterThan(before?.epoch ?? 0);

  frozen.command.signal("SIGCONT");
  homeserver.queueSync(token, numbered(ROOM, 6, 3));
  await followers.allHave(9);
  // It answers clients again, as any process does, and has not taken the account back.
  expect(await new V3Client(() => frozen.url, ME, "PHONE", token).sync({ room: { room_id: ROOM, timeline_limit: 20 } })).toBeDefined();
  expect(await database.sql`select owner, epoch from leases`).toEqual([after]);
  const events = await database.sql`select event_id from timeline group by event_id having count(*) > 1`;
  expect(events).toHaveLength(0);
  for (const report of followers.reports(9)) expect(report).toMatchObject({ interrupted: 0, toDevice: whole(9), events: whole(9) });
});
