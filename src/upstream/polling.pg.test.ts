/** Pollers with the real ingest: what the homeserver sends is stored once. */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { ev, newRoom, toDevice, typing, v2 } from "../../test/support/fake-homeserver.ts";
import { type Polled, type UpstreamFixture, upstreamFixture } from "../../test/support/upstream-fixture.ts";
import { pollState } from "../store/devices.ts";
import { Ingester } from "./ingest/ingest.ts";
import { resetAccount } from "./ingest/reset-account.ts";
import type { Supervisor } from "./supervisor.ts";
import type { SupervisorOptions } from "./supervisor-options.ts";

let database: TestDatabase;
let fixture: UpstreamFixture;
let alice: Polled;

beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  fixture = await upstreamFixture(database);
  await database.sql`truncate timeline, to_device, poison`;
  alice = await fixture.login();
});
afterEach(() => fixture.stop());

const room = "!a:test";
const first = v2({ join: { [room]: { state: newRoom("@alice:test"), timeline: [ev.message("@bob:test")], ephemeral: [typing("@bob:test")] } } });
const message = () => v2({ join: { [room]: { timeline: [ev.message("@bob:test")] } } });
const until = <T>(check: () => T | Promise<T>): Promise<T> => vi.waitFor(check, { timeout: 8000, interval: 20 });

function supervise(over: Partial<SupervisorOptions> = {}): Supervisor {
  const { sql } = fixture;
  return fixture.supervise({
    ingest: (input) => new Ingester({ sql }).ingest(input),
    resetAccount: (account, device) => resetAccount(sql, account, device),
    ...over,
  });
}

const timelineLength = async () => (await fixture.sql`select 1 from timeline`).length;
const toDeviceContents = async () => {
  const rows = await fixture.sql<{ body: string }[]>`select body from to_device order by device, seq`;
  return rows.map((row) => (JSON.parse(row.body) as { content: unknown }).content);
};

test("the response is stored, the account is complete, and waiting requests learn what changed", async () => {
  const wakes = fixture.wakes(alice.account);
  fixture.hs.queueSync(alice.token, first);
  supervise();
  await fixture.hs.waitForPoll(alice.token);
  expect(await timelineLength()).toBe(1);
  expect(await fixture.sql`select complete from accounts`).toEqual([{ complete: true }]);
  expect(wakes[0]).toMatchObject({ type: "news", account: alice.account, device: alice.device });
  const kinds = wakes[0]?.type === "news" ? [...(wakes[0].kinds ?? [])] : [];
  expect(kinds).toEqual(expect.arrayContaining(["complete", "timeline", "typing"]));
});

test("an idle long poll wakes no request and does not change the position", async () => {
  fixture.hs.queueSync(alice.token, first);
  supervise();
  await fixture.hs.waitForPoll(alice.token);
  const [before] = await fixture.sql`select position from accounts`;
  const wakes = fixture.wakes(alice.account);
  const polls = fixture.hs.polls(alice.token).length;
  fixture.hs.queueSync(alice.token, v2());
  await fixture.hs.waitForRequest({ path: "/sync" }, polls + 1);
  await fixture.hs.waitForPoll(alice.token);
  expect((await fixture.sql`select position from accounts`)[0]).toEqual(before);
  expect(wakes).toEqual([]);
});

test("truncated JSON with a matching length is requested again, and nothing of it is stored", async () => {
  fixture.hs.queueSync(alice.token, first);
  const text = JSON.stringify({ ...first, next_batch: "half" });
  fixture.hs.fail({ path: "/sync" }, { body: text.slice(0, text.length / 2) });
  supervise();
  await fixture.hs.waitForPoll(alice.token);
  expect(fixture.waits).toEqual([2000]);
  expect(await timelineLength()).toBe(1);
  expect((await pollState(fixture.sql, alice.device))?.accountSince).toBe("s1");
});

test("a restart between two responses loses and duplicates nothing", async () => {
  const supervisor = supervise();
  fixture.hs.queueSync(alice.token, first, message());
  await fixture.hs.waitForPoll(alice.token);
  await supervisor.stop();
  fixture.hs.queueSync(alice.token, message(), v2({ to_device: [toDevice("@bob:test", { n: 1 })] }));
  supervise();
  await fixture.hs.waitForPoll(alice.token);
  expect(await timelineLength()).toBe(3);
  expect(await toDeviceContents()).toEqual([{ n: 1 }]);
});

describe("two processes", () => {
  test("B55: while leases change hands repeatedly, each response is stored once", async () => {
    fixture.hs.queueSync(alice.token, first);
    supervise({ sql: fixture.pool() });
    supervise({ sql: fixture.pool() });
    await fixture.hs.waitForPoll(alice.token);
    for (let round = 0; round < 10; round += 1) {
      await fixture.sql`update leases set expires_at = now() - interval '1 second'`;
      fixture.hs.queueSync(
        alice.token,
        v2({ join: { [room]: { timeline: [ev.message("@bob:test")] } }, to_device: [toDevice("@bob:test", { round })] }),
      );
      await until(async () => expect((await pollState(fixture.sql, alice.device))?.accountSince).toBe(`s${round + 2}`));
    }
    expect(await timelineLength()).toBe(11);
    expect(await toDeviceContents()).toEqual(Array.from({ length: 10 }, (_, round) => ({ round })));
    expect(await fixture.sql`select 1 from poison`).toHaveLength(0);
  });
});

describe("take-over of the rooms by another device", () => {
  test("to-device messages that come again with the rooms are not duplicated", async () => {
    fixture.hs.queueSync(alice.token, first);
    const supervisor = supervise();
    await fixture.hs.waitForPoll(alice.token);
    const laptop = await fixture.login("@alice:test", "LAPTOP");
    const one = toDevice("@bob:test", { n: 1 });
    const two = toDevice("@bob:test", { n: 2 });
    fixture.hs.queueSync(laptop.token, v2({ next_batch: "l1", to_device: [one] }));
    supervisor.ensure(laptop.account, laptop.device);
    await fixture.hs.waitForPoll(laptop.token);
    // From the account's since the homeserver sends the first message once more, and a new one with the rooms' news.
    fixture.hs.queueSync(laptop.token, v2({ next_batch: "l2" }));
    await until(async () => expect((await pollState(fixture.sql, laptop.device))?.deviceSince).toBe("l2"));
    fixture.hs.fail(
      { token: laptop.token, path: "/sync", where: (request) => request.query.get("since") === "s1" },
      { body: { ...v2({ join: { [room]: { timeline: [ev.message("@bob:test")] } }, to_device: [one, two] }), next_batch: "l4" } },
    );
    fixture.hs.revoke(alice.token);
    await until(async () => expect(await pollState(fixture.sql, laptop.device)).toMatchObject({ accountSince: "l4", deviceSince: "l4" }));
    expect(await toDeviceContents()).toEqual([{ n: 1 }, { n: 2 }]);
    expect(await timelineLength()).toBe(2);
  });

  test("when the first device comes back, it polls without rooms, and the messages sent meanwhile arrive", async () => {
    fixture.hs.queueSync(alice.token, first);
    const supervisor = supervise();
    await fixture.hs.waitForPoll(alice.token);
    const laptop = await fixture.login("@alice:test", "LAPTOP");
    supervisor.ensure(laptop.account, laptop.device);
    await fixture.hs.waitForPoll(laptop.token);
    fixture.hs.revoke(alice.token);
    await fixture.hs.waitForRequest({ token: laptop.token, path: "/sync", where: (request) => request.query.get("since") === "s1" });
    const fresh = fixture.hs.login("@alice:test", "PHONE", "fresh");
    fixture.hs.queueSync(fresh, v2({ to_device: [toDevice("@bob:test", { n: 1 })] }));
    await fixture.register(fresh);
    supervisor.ensure(alice.account, alice.device);
    const poll = await fixture.hs.waitForPoll(fresh);
    expect(poll.query.get("filter")).toContain('"rooms":[]');
    expect(await toDeviceContents()).toEqual([{ n: 1 }]);
  });
});

test("D26: a restored homeserver is synced from scratch; sessions end, messages stay", async () => {
  fixture.hs.queueSync(
    alice.token,
    v2({ ...first, next_batch: "old", to_device: [toDevice("@bob:test", { n: 1 })], join: { [room]: { state: newRoom("@alice:test") } } }),
  );
  supervise();
  await fixture.hs.waitForPoll(alice.token);
  await fixture.sql`insert into sessions (account, device, kind) values (${alice.account}, ${alice.device}, 'v3')`;
  fixture.hs.fail(
    { path: "/sync", where: (request) => request.query.get("since") === "old" },
    { status: 400, body: { errcode: "M_UNKNOWN_POS" } },
    2,
  );
  fixture.hs.disconnect();
  await until(() => expect(fixture.hs.polls(alice.token).filter((poll) => poll.query.get("since") === null)).toHaveLength(2));
  await fixture.hs.waitForPoll(alice.token);
  expect(await fixture.sql`select 1 from sessions`).toHaveLength(0);
  expect(await toDeviceContents()).toEqual([{ n: 1 }]);
  expect(await fixture.sql`select since from accounts`).toEqual([{ since: "old" }]);
});
