/** What a poller does for the encryption data of its device and of the account's others (T10, T11). */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { ev, toDevice, v2 } from "../../test/support/fake-homeserver.ts";
import { type Polled, pollerDeps, type UpstreamFixture, upstreamFixture } from "../../test/support/upstream-fixture.ts";
import type { HomeserverClient } from "./client.ts";
import { Leases } from "./lease-keeper.ts";
import type { PollerDeps, PollerEnd, PollerJob } from "./poller-types.ts";
import { Poller } from "./poller.ts";
import { UpstreamError } from "./upstream-error.ts";

let database: TestDatabase;
let fixture: UpstreamFixture;
let alice: Polled;
let leases: Leases;
let deps: PollerDeps;
const started: { poller: Poller; end: Promise<PollerEnd> }[] = [];

beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  fixture = await upstreamFixture(database);
  alice = await fixture.login();
  leases = new Leases({ sql: fixture.sql, ownerId: "me", lockDb: null, now: Date.now });
  deps = pollerDeps(fixture, leases);
});

afterEach(async () => {
  for (const { poller } of started) poller.stop();
  await Promise.all(started.splice(0).map(({ end }) => end));
  await fixture.stop();
});

/** Starts a room poller (or `over`) of alice's device under a lease. */
async function start(over: Partial<PollerJob> = {}, more: Partial<PollerDeps> = {}): Promise<{ poller: Poller; end: Promise<PollerEnd> }> {
  const epoch = leases.epoch(alice.account) ?? (await leases.claimOne(alice.account))?.epoch ?? 0;
  const poller = new Poller({ ...deps, ...more }, { account: alice.account, device: alice.device, epoch, rooms: true, presence: false, ...over });
  const one = { poller, end: poller.run() };
  started.push(one);
  return one;
}

const polls = () => fixture.hs.polls(alice.token).map((poll) => ({ since: poll.query.get("since"), timeout: poll.query.get("timeout") }));
const timeline = (count: number) => v2({ join: { "!a:test": { timeline: Array.from({ length: count }, () => ev.message("@bob:test")) } } });

describe("encryption data", () => {
  const CHANGES = "/_matrix/client/v3/keys/changes";
  const asked = () => fixture.hs.seen({ path: CHANGES }).map(({ query }) => [query.get("from"), query.get("to")]);
  const message = () => v2({ to_device: [toDevice("@bob:test")] });

  test("T10: while the account's room poll is behind, a further device asks what changed: from the account's since, then from the last time", async () => {
    await fixture.sql`update accounts set since = 'rooms'`;
    let behind = true;
    fixture.hs.on("GET", CHANGES, { body: { changed: ["@bob:test", 5], left: ["@carol:test"] } });
    fixture.hs.queueSync(alice.token, message(), message());
    await start({ rooms: false, isRoomPollBehind: () => behind });
    await fixture.hs.waitForPoll(alice.token);
    expect(asked()).toEqual([
      ["rooms", "s1"],
      ["s1", "s2"],
    ]);
    const lists = { changed: ["@bob:test"], left: ["@carol:test"] };
    expect(fixture.ingest.stored.map((input) => input.lists)).toEqual([lists, lists]);
    behind = false;
    fixture.hs.queueSync(alice.token, message());
    await fixture.hs.waitForPoll(alice.token);
    expect(asked()).toHaveLength(2);
    expect(fixture.ingest.stored.at(-1)?.lists).toBeUndefined();
  });

  test("T10: what the homeserver did not answer is requested again, and nothing else waits for it", async () => {
    await fixture.sql`update accounts set since = 'rooms'`;
    fixture.hs.fail({ path: CHANGES }, { status: 500, body: {} });
    fixture.hs.on("GET", CHANGES, { body: { changed: [], left: [] } });
    fixture.hs.queueSync(alice.token, message(), message(), message());
    await start({ rooms: false, isRoomPollBehind: () => true });
    await fixture.hs.waitForPoll(alice.token);
    expect(asked()).toEqual([
      ["rooms", "s1"],
      ["rooms", "s2"],
      ["s2", "s3"],
    ]);
    expect(fixture.ingest.stored).toHaveLength(3);
    expect(fixture.waits).toEqual([]);
  });

  test("T10: a room poll that was sent without rooms misses no change", async () => {
    await fixture.sql`update accounts set since = 'rooms'`;
    await fixture.sql`update devices set since = 'rooms'`;
    const tooLarge = new UpstreamError("too_large", "too large");
    let fails = 2;
    const sync: HomeserverClient["sync"] = (...args) => (fails-- > 0 ? Promise.reject(tooLarge) : fixture.client.sync(...args));
    const { client } = fixture;
    const asking = { sync, get: client.get.bind(client), joinedRooms: () => Promise.resolve([]) };
    fixture.hs.fail({ path: CHANGES }, { status: 500, body: {} });
    fixture.hs.on("GET", CHANGES, { body: { changed: ["@bob:test"], left: [] } });
    fixture.hs.queueSync(alice.token, v2());
    await start(
      {},
      {
        client: Object.assign(Object.create(client) as HomeserverClient, asking),
      },
    );
    await fixture.hs.waitForPoll(alice.token);
    expect(asked().at(-1)).toEqual(["rooms", "s1"]);
    expect(fixture.ingest.stored.find((input) => input.toRead)?.lists).toEqual({ changed: ["@bob:test"], left: [] });
  });

  test("T10: otherwise the room poller never asks", async () => {
    fixture.hs.queueSync(alice.token, timeline(1), message());
    await start({ isRoomPollBehind: () => true });
    await fixture.hs.waitForPoll(alice.token);
    expect(asked()).toEqual([]);
  });

  test("T11: after an upload of keys the waiting poll is sent again at once, from what is stored then", async () => {
    fixture.hs.queueSync(alice.token, timeline(1));
    const { poller } = await start();
    const waiting = await fixture.hs.waitForPoll(alice.token);
    await fixture.sql`update devices set key_uploads = 1`;
    poller.keysUploaded();
    await fixture.hs.waitForRequest({
      path: "/sync",
      where: (request) => request.query.get("since") === "s1" && request.query.get("timeout") === "0",
    });
    await vi.waitFor(() => expect(waiting.signal.aborted).toBe(true), 10_000);
    await fixture.hs.waitForPoll(alice.token);
    expect(fixture.ingest.stored.map((input) => input.keyUploads)).toEqual([0, 1]);
    expect(fixture.waits).toEqual([]);
  });

  test("T11: a first sync is not restarted for an upload of keys; the next poll is sent at once", async () => {
    fixture.hs.holdSync(alice.token);
    const { poller } = await start();
    const first = await fixture.hs.waitForPoll(alice.token);
    poller.keysUploaded();
    fixture.hs.queueSync(alice.token, timeline(1));
    fixture.hs.holdSync(alice.token, false);
    await fixture.hs.waitForPoll(alice.token);
    expect(first.status).toBe(200);
    expect(polls().map((poll) => [poll.since, poll.timeout])).toEqual([
      [null, "0"],
      ["s1", "0"],
      ["s1", "30000"],
    ]);
  });
});
