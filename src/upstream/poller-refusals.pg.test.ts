/** What the homeserver's answers to polls say of tokens and accounts (T16, T17). */

import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { v2 } from "../../test/support/fake-homeserver.ts";
import { type Polled, pollerDeps, type UpstreamFixture, upstreamFixture } from "../../test/support/upstream-fixture.ts";
import { findToken } from "../store/tokens.ts";
import { Leases } from "./lease-keeper.ts";
import { Poller } from "./poller.ts";

/** As Synapse answers. */
const LOCKED = { errcode: "M_USER_LOCKED", error: "User account has been locked", soft_logout: true };

let database: TestDatabase;
let fixture: UpstreamFixture;
let alice: Polled;
let leases: Leases;
let now: number;
let poller: Poller;
let end: Promise<unknown>;

beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  now = 1_000_000;
  fixture = await upstreamFixture(database);
  alice = await fixture.login();
  leases = new Leases({ sql: fixture.sql, ownerId: "me", lockDb: null, now: () => now });
  const deps = { ...pollerDeps(fixture, leases), now: () => now, random: () => 0 };
  const { account, device } = alice;
  const epoch = (await leases.claimOne(account))?.epoch ?? 0;
  poller = new Poller(deps, { account, device, epoch, rooms: true, presence: false });
});
afterEach(async () => {
  poller.stop();
  await end;
  await fixture.stop();
});

const stored = () => findToken(fixture.sql, fixture.box.hashToken(alice.token));
const start = () => {
  end = poller.run();
  return fixture.hs.waitForPoll(alice.token);
};

test("T16: a poll that waits proves its token before it is answered, and its answer writes nothing more", async () => {
  await start();
  await leases.renew();
  await fixture.sql`update tokens set verified_at = now() - interval '1 hour'`;
  await leases.renew();
  expect((await stored())?.verifiedAgoMs).toBeGreaterThan(3_000_000);
  now += 6000;
  await leases.renew();
  expect((await stored())?.verifiedAgoMs).toBeLessThan(60_000);
  const version = async () => (await fixture.sql<{ xmin: string }[]>`select xmin::text from tokens`)[0]?.xmin;
  const before = await version();
  fixture.hs.queueSync(alice.token, v2());
  await fixture.hs.waitForRequest({ path: /\/sync$/, token: alice.token }, 3);
  await leases.renew();
  expect(await version()).toBe(before);
});

test("T16: a poll that is refused proves nothing", async () => {
  await start();
  await fixture.sql`update tokens set verified_at = now() - interval '1 hour'`;
  fixture.hs.revoke(alice.token);
  await end;
  now += 6000;
  await leases.renew();
  expect(await stored()).toMatchObject({ deadAt: expect.any(Date), verifiedAgoMs: expect.any(Number) });
  expect((await stored())?.verifiedAgoMs).toBeGreaterThan(3_000_000);
});

test("T17: a locked account is recorded with the homeserver's answer, polled on, and open again with the first poll that succeeds", async () => {
  fixture.hs.queueSync(alice.token, v2({ next_batch: "before" }));
  await start();
  const wakes = fixture.wakes(alice.account);
  fixture.hs.fail({ token: alice.token }, { status: 401, body: LOCKED }, 3);
  fixture.hs.fail({ token: alice.token }, { delayMs: 3_600_000 });
  fixture.hs.queueSync(alice.token, v2({ next_batch: "last" }));
  await fixture.hs.waitForRequest({ token: alice.token, path: /\/sync$/ }, 6);
  const locked = await stored();
  expect([locked?.deadAt, JSON.parse(locked?.locked?.body ?? "null")]).toEqual([null, LOCKED]);
  expect(fixture.waits).toHaveLength(3);
  expect(wakes.filter((wake) => wake.type === "news" && wake.kinds?.has("gone"))).toHaveLength(1);
  fixture.hs.disconnect();
  await fixture.hs.waitForPoll(alice.token);
  expect(await stored()).toMatchObject({ deadAt: null, locked: null });
  expect(fixture.hs.polls(alice.token).at(-1)?.query.get("since")).toBe("last");
});

test("T17: a poll that began before the account was last refused does not open it", async () => {
  fixture.hs.queueSync(alice.token, v2());
  await start();
  await fixture.sql`update accounts set locked = '{}', locked_at = now()`;
  // The next one knows of the lock.
  fixture.hs.fail({ token: alice.token }, { status: 500, body: {} });
  fixture.hs.queueSync(alice.token, v2());
  await fixture.hs.waitForRequest({ token: alice.token, path: /\/sync$/ }, 4);
  await fixture.sql`update accounts set locked_at = now() + interval '1 hour'`;
  fixture.hs.queueSync(alice.token, v2({ next_batch: "later" }));
  await fixture.hs.waitForPoll(alice.token);
  expect((await stored())?.locked).not.toBeNull();
});
