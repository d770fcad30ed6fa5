/** Pollers in front of a real homeserver: what its own rules about tokens, devices and `since` do to them. */

import { randomUUID } from "node:crypto";

import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";

import { silentLogger } from "../../src/base/logger.ts";
import { SecretBox } from "../../src/base/secret-box.ts";
import { Hub } from "../../src/feed/hub.ts";
import { pollState } from "../../src/store/devices.ts";
import { findToken, registerToken, sealToken } from "../../src/store/tokens.ts";
import { HomeserverClient } from "../../src/upstream/client.ts";
import { Ingester } from "../../src/upstream/ingest/ingest.ts";
import { resetAccount } from "../../src/upstream/ingest/reset-account.ts";
import { Supervisor } from "../../src/upstream/supervisor.ts";
import { freshDatabase, type TestDatabase } from "../support/database.ts";
import { sharedSynapse } from "../support/shared-synapse.ts";
import type { TestUser } from "../support/synapse-api.ts";

const synapse = sharedSynapse();
const box = new SecretBox("a secret of the test");
let db: TestDatabase;
let client: HomeserverClient;
let supervisor: Supervisor | null = null;

beforeAll(async () => {
  db = await freshDatabase();
  client = new HomeserverClient({ baseUrl: synapse.url });
});
afterEach(async () => {
  await supervisor?.stop();
  supervisor = null;
  await db.sql`truncate accounts, timeline, to_device restart identity cascade`;
});
afterAll(async () => {
  await client.close();
  await db.drop();
});

const until = <T>(check: () => T | Promise<T>): Promise<T> => vi.waitFor(check, { timeout: 30_000, interval: 50 });

function supervise(): Supervisor {
  const { sql } = db;
  supervisor = new Supervisor({
    sql,
    client,
    box,
    feed: new Hub(),
    logger: silentLogger(),
    ownerId: randomUUID(),
    lockDb: db.options,
    sweepMs: 100,
    ingest: (input) => new Ingester({ sql }).ingest(input),
    resetAccount: (account, device) => resetAccount(sql, account, device),
  });
  supervisor.start();
  return supervisor;
}

/** What a first request with the user's token does. */
async function register(user: TestUser) {
  const who = await client.whoami(user.accessToken, new AbortController().signal);
  return registerToken(db.sql, { ...sealToken(box, user.accessToken), userId: who.userId, deviceId: who.deviceId ?? "" });
}

const texts = async () => {
  const rows = await db.sql<
    { body: string }[]
  >`select e.body from timeline t join events e using (event_id) where e.type = 'm.room.message' order by t.ord`;
  return rows.map((row) => (JSON.parse(row.body) as { content: { body: string } }).content.body);
};
const toDevice = async (device: number) => {
  const rows = await db.sql<{ body: string }[]>`select body from to_device where device = ${device} order by seq`;
  return rows.map((row) => (JSON.parse(row.body) as { content: { n: number } }).content.n);
};

test("two devices: each gets its to-device messages once, also when one takes the rooms over from the other", async () => {
  const phone = await synapse.users.registerUser("poll-alice", "PHONE");
  const laptop = await synapse.users.login("poll-alice", "LAPTOP");
  const bob = await synapse.users.registerUser("poll-bob");
  const room = await phone.createRoom({ preset: "public_chat" });
  await bob.join(room);
  const first = await register(phone);
  const second = await register(laptop);
  supervise();
  const tell = (n: number) => bob.sendToDevice("m.test", { [phone.userId]: { PHONE: { n }, LAPTOP: { n } } });
  await bob.send(room, "one");
  await tell(1);
  await until(async () => expect(await texts()).toEqual(["one"]));
  await until(async () => expect([await toDevice(first.device), await toDevice(second.device)]).toEqual([[1], [1]]));
  // Whichever polls the rooms logs out.
  const [row] = await db.sql<{ since: string }[]>`select since from accounts`;
  const phoneHasRooms = (await pollState(db.sql, first.device))?.deviceSince === row?.since;
  const [leaver, heir] = phoneHasRooms ? [phone, second.device] : [laptop, first.device];
  await tell(2);
  await leaver.logout();
  await tell(3);
  await bob.send(room, "two");
  await until(async () => expect(await texts()).toEqual(["one", "two"]));
  await tell(4);
  await until(async () => expect(await toDevice(heir)).toEqual([1, 2, 3, 4]));
  expect(await findToken(db.sql, box.hashToken(leaver.accessToken))).toMatchObject({ deadAt: expect.any(Date), softLogout: false });
});

test("D26: if the homeserver cannot read its since, the account is synced from scratch", async () => {
  const user = await synapse.users.registerUser("poll-erin", "PHONE");
  const room = await user.createRoom({});
  const { device } = await register(user);
  await db.sql`update accounts set since = 'from another homeserver', complete = true`;
  await db.sql`update devices set since = 'from another homeserver'`;
  supervise();
  await user.send(room, "hello");
  await until(async () => expect(await texts()).toEqual(["hello"]));
  expect((await pollState(db.sql, device))?.accountSince).toMatch(/^s\d/);
});
