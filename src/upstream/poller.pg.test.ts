import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { ev, toDevice, v2 } from "../../test/support/fake-homeserver.ts";
import { type Polled, pollerDeps, type UpstreamFixture, upstreamFixture } from "../../test/support/upstream-fixture.ts";
import { sleep } from "../base/abort.ts";
import { SecretBox } from "../base/secret-box.ts";
import { deleteAccount, pollState } from "../store/devices.ts";
import { findToken } from "../store/tokens.ts";
import { Leases } from "./lease-keeper.ts";
import type { PollerDeps, PollerEnd, PollerJob } from "./poller-types.ts";
import { Poller } from "./poller.ts";

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
const filters = () =>
  fixture.hs
    .polls(alice.token)
    .map(
      (poll) => JSON.parse(poll.query.get("filter") ?? "null") as { room: { rooms?: string[]; timeline?: { limit: number } }; presence?: unknown },
    );
const timeline = (count: number) => v2({ join: { "!a:test": { timeline: Array.from({ length: count }, () => ev.message("@bob:test")) } } });

describe("6.4", () => {
  test("TestPollerPollFromNothing: the first answer is stored, then a 401 ends the loop", async () => {
    fixture.hs.queueSync(
      alice.token,
      v2({ next_batch: "next", join: { "!a:test": { state: [ev.create("@alice:test"), ev.member("@alice:test"), ev.joinRules("@alice:test")] } } }),
    );
    fixture.hs.fail(
      { path: "/sync", where: (request) => request.query.get("since") === "next" },
      { status: 401, body: { errcode: "M_UNKNOWN_TOKEN" } },
    );
    const wakes = fixture.wakes(alice.account);
    const { end } = await start();
    expect(await end).toBe("no_token");
    expect(fixture.ingest.stored).toHaveLength(1);
    expect(await pollState(fixture.sql, alice.device)).toMatchObject({ accountSince: "next", deviceSince: "next" });
    expect(wakes[0]).toMatchObject({
      type: "news",
      account: alice.account,
      device: alice.device,
      kinds: new Set(["timeline"]),
      rooms: new Set(["!a:test"]),
    });
    expect(wakes.at(-1)).toMatchObject({ kinds: new Set(["gone"]) });
  });

  test("TestPollerPollFromExisting: continues from the stored since, never with an empty one", async () => {
    await fixture.sql`update accounts set since = '0'`;
    await fixture.sql`update devices set since = '0'`;
    fixture.hs.queueSync(alice.token, ...[4, 3, 2, 1].map((count, index) => ({ ...timeline(count), next_batch: String(index + 1) })));
    await start();
    await fixture.hs.waitForPoll(alice.token);
    expect(polls().map((poll) => poll.since)).toEqual(["0", "1", "2", "3", "4"]);
    expect(await pollState(fixture.sql, alice.device)).toMatchObject({ accountSince: "4", deviceSince: "4" });
  });

  test("TestPollerBackoff: 2, 4, 8, 16 s at most for a broken connection, 500, 502 (HTML), 404; nothing ingested; a success forgets them", async () => {
    fixture.hs.fail({ path: "/sync" }, { body: "{", cut: 0 });
    fixture.hs.fail({ path: "/sync" }, { status: 500, body: {} });
    fixture.hs.fail({ path: "/sync" }, { status: 502, body: "<html>Bad Gateway</html>" });
    fixture.hs.fail({ path: "/sync" }, { status: 404, body: "" });
    await start();
    await fixture.hs.waitForPoll(alice.token);
    expect(fixture.waits).toEqual([2000, 4000, 8000, 16_000]);
    expect(
      polls()
        .slice(0, 5)
        .map((poll) => poll.timeout),
    ).toEqual(["0", "0", "0", "0", "0"]);
    expect(fixture.ingest.stored).toHaveLength(1);
    fixture.hs.fail({ path: "/sync" }, { status: 500, body: {} });
    fixture.hs.queueSync(alice.token, timeline(1));
    await fixture.hs.waitForRequest({ path: "/sync", where: (request) => request.status === 500 }, 2);
    await vi.waitFor(() => expect(fixture.waits.at(-1)).toBe(2000), 10_000);
  });
});

describe("what is sent", () => {
  test("timeout=0 first, then long polls; B51: filter and set_presence=offline; smaller timelines at first", async () => {
    fixture.hs.queueSync(alice.token, timeline(1), timeline(1));
    await start();
    const poll = await fixture.hs.waitForPoll(alice.token);
    expect(polls()).toEqual([
      { since: null, timeout: "0" },
      { since: "s1", timeout: "30000" },
      { since: "s2", timeout: "30000" },
    ]);
    expect(filters().map((filter) => filter.room.timeline?.limit)).toEqual([20, 50, 50]);
    expect(filters()[0]?.presence).toEqual({ not_types: ["*"] });
    expect(filters()[0]?.room.rooms).toBeUndefined();
    expect(poll.query.get("set_presence")).toBe("offline");
  });

  test("a session that asks for presence changes the filter of the waiting poll at once", async () => {
    const { poller } = await start();
    const first = await fixture.hs.waitForPoll(alice.token);
    poller.setPresence(true);
    await fixture.hs.waitForRequest({ path: "/sync", where: (request) => !(request.query.get("filter") ?? "").includes('"presence"') });
    await vi.waitFor(() => expect(first.signal.aborted).toBe(true), 10_000);
    expect(fixture.waits).toEqual([]);
  });

  test("a second device polls without rooms and changes only its own since", async () => {
    fixture.hs.queueSync(alice.token, v2({ to_device: [toDevice("@bob:test")] }));
    await start({ rooms: false });
    await fixture.hs.waitForPoll(alice.token);
    expect(filters()[0]).toEqual({ room: { rooms: [] }, account_data: { not_types: ["*"] }, presence: { not_types: ["*"] } });
    expect(await pollState(fixture.sql, alice.device)).toMatchObject({ accountSince: null, deviceSince: "s1" });
  });
});

describe("invalid answers", () => {
  test.each([
    ["an empty body", { body: "" }],
    ["HTML", { body: "<html>captive portal</html>" }],
    ["a body that breaks off", { body: '{"next_batch":"s1","rooms":{"join":{', cut: 20 }],
  ])("%s: waits, asks again from the same since", async (_, fault) => {
    fixture.hs.queueSync(alice.token, timeline(1), timeline(1));
    fixture.hs.fail({ path: "/sync", where: (request) => request.query.get("since") === "s1" }, fault);
    await start();
    await fixture.hs.waitForPoll(alice.token);
    expect(polls().map((poll) => poll.since)).toEqual([null, "s1", "s1", "s2"]);
    expect(fixture.waits).toEqual([2000]);
  });

  test("B38: what ingest could not store is requested again", async () => {
    fixture.hs.queueSync(alice.token, timeline(1));
    fixture.ingest.errors.push(new Error("half a JSON"), new Error("the database is away"));
    await start();
    await fixture.hs.waitForPoll(alice.token);
    expect(polls().map((poll) => poll.since)).toEqual([null, null, null, "s1"]);
    expect(fixture.waits).toEqual([2000, 4000]);
  });

  test("B50: 429 waits as long as the homeserver says", async () => {
    fixture.hs.fail({ path: "/sync" }, { status: 429, body: { errcode: "M_LIMIT_EXCEEDED", retry_after_ms: 90_000 } });
    fixture.hs.fail({ path: "/sync" }, { status: 429, body: "", headers: { "retry-after": "120" } });
    await start();
    await fixture.hs.waitForPoll(alice.token);
    expect(fixture.waits[0]).toBeGreaterThanOrEqual(90_000);
    expect(fixture.waits[1]).toBeGreaterThanOrEqual(120_000);
    expect(Math.max(...fixture.waits)).toBeLessThan(130_000);
  });

  test.each(Object.entries({ CONNECTION_CLOSED: 5000, "57P03": 5000, "53100": 60_000 }))(
    "N8: after %s the next try is at most %s ms away",
    async (code, most) => {
      fixture.hs.queueSync(alice.token, timeline(1));
      const ingest = vi.fn<PollerDeps["ingest"]>(deps.ingest);
      for (let i = 0; i < 8; i += 1) ingest.mockRejectedValueOnce(Object.assign(new Error("the database failed"), { code }));
      await start({}, { ingest });
      await fixture.hs.waitForPoll(alice.token);
      expect(Math.max(...fixture.waits)).toBe(most);
    },
  );

  test("a homeserver that answers long polls at once with nothing is not asked in a tight loop", async () => {
    fixture.hs.on("GET", "/_matrix/client/v3/sync", { body: { next_batch: "same" } });
    await start({}, { sleep: (ms, signal) => (fixture.waits.push(ms), sleep(fixture.waits.length > 8 ? 60_000 : 1, signal)) });
    await vi.waitFor(() => expect(fixture.waits.length).toBeGreaterThan(8), 10_000);
    expect(fixture.waits.slice(0, 9)).toEqual([160, 320, 640, 1000, 1000, 1000, 1000, 1000, 1000]);
  });
});

describe("tokens", () => {
  test("B57: a dead token is marked with soft_logout and never sent again", async () => {
    await start().then(() => fixture.hs.waitForPoll(alice.token));
    fixture.hs.revoke(alice.token, true);
    expect(await started[0]?.end).toBe("no_token");
    expect(await findToken(fixture.sql, fixture.box.hashToken(alice.token))).toMatchObject({ deadAt: expect.any(Date), softLogout: true });
    const sent = fixture.hs.polls(alice.token).length;
    expect(await (await start()).end).toBe("no_token");
    expect(fixture.hs.polls(alice.token)).toHaveLength(sent);
  });

  test("TestPollerUnblocksIfTerminatedInitially, B28: a 401 for the very first poll ends the poller and wakes waiting requests", async () => {
    fixture.hs.revoke(alice.token);
    const wakes = fixture.wakes(alice.account);
    expect(await (await start()).end).toBe("no_token");
    expect(wakes).toMatchObject([{ kinds: new Set(["gone"]) }]);
    expect(fixture.waits).toEqual([]);
  });

  test("a refreshed token continues from the same since; the old one is not sent again", async () => {
    fixture.hs.queueSync(alice.token, timeline(1));
    await start();
    await fixture.hs.waitForPoll(alice.token);
    const fresh = fixture.hs.login("@alice:test", "PHONE", "fresh");
    await fixture.register(fresh);
    fixture.hs.revoke(alice.token);
    await fixture.hs.waitForPoll(fresh);
    expect(fixture.hs.polls(fresh).map((poll) => poll.query.get("since"))).toEqual(["s1", "s1"]);
    expect(polls()).toHaveLength(2);
  });

  test("a successful poll verifies its token, which is written with the renewal", async () => {
    await fixture.sql`update tokens set verified_at = now() - interval '1 hour'`;
    await start();
    await fixture.hs.waitForPoll(alice.token);
    await leases.renew();
    const token = await findToken(fixture.sql, fixture.box.hashToken(alice.token));
    expect(token?.verifiedAgoMs).toBeLessThan(10_000);
    const [row] = await fixture.sql`select polled_at > now() - interval '10 seconds' as polled from leases`;
    expect(row?.["polled"]).toBe(true);
  });

  test("a token sealed under another secret is not used", async () => {
    expect(await (await start({}, { box: new SecretBox("another") })).end).toBe("unusable");
    expect(polls()).toEqual([]);
    expect((await findToken(fixture.sql, fixture.box.hashToken(alice.token)))?.deadAt).toBeNull();
  });
});

describe("since", () => {
  test("D26: a since that the homeserver does not know, twice in a row, resets the account", async () => {
    fixture.hs.queueSync(alice.token, timeline(1));
    fixture.hs.fail({ path: "/sync", where: (request) => request.query.has("since") }, { status: 400, body: { errcode: "M_UNKNOWN_POS" } }, 2);
    await start();
    await fixture.hs.waitForPoll(alice.token);
    expect(fixture.resets).toEqual([alice.account]);
    expect(polls().map((poll) => poll.since)).toEqual([null, "s1", "s1", null, "s1"]);
  });

  test("once does not", async () => {
    fixture.hs.queueSync(alice.token, timeline(1));
    fixture.hs.fail({ path: "/sync", where: (request) => request.query.has("since") }, { status: 400, body: { errcode: "M_UNKNOWN" } });
    await start();
    await fixture.hs.waitForPoll(alice.token);
    expect(fixture.resets).toEqual([]);
    expect(polls().map((poll) => poll.since)).toEqual([null, "s1", "s1", "s1"]);
  });

  test("a bad since of a second device resets only that device, and ends its sessions", async () => {
    await fixture.sql`update accounts set since = 'rooms'`;
    await fixture.sql`update devices set since = 'mine'`;
    await fixture.sql`insert into sessions (account, device, kind) values (${alice.account}, ${alice.device}, 'v3')`;
    fixture.hs.fail({ path: "/sync" }, { status: 400, body: { errcode: "M_INVALID_PARAM" } }, 2);
    await start({ rooms: false });
    await fixture.hs.waitForPoll(alice.token);
    expect(fixture.resets).toEqual([]);
    expect(polls().map((poll) => poll.since)).toEqual(["mine", "mine", null, "s0"]);
    expect(await pollState(fixture.sql, alice.device)).toMatchObject({ accountSince: "rooms" });
    expect(await fixture.sql`select 1 from sessions`).toHaveLength(0);
  });

  test("take-over: drains its own queue until two empty answers in a row, then continues from the account's since", async () => {
    await fixture.sql`update accounts set since = 'rooms'`;
    await fixture.sql`update devices set since = 'mine'`;
    fixture.hs.queueSync(alice.token, v2({ to_device: [toDevice("@bob:test")] }), v2({ to_device: [toDevice("@bob:test")] }));
    await start();
    await fixture.hs.waitForPoll(alice.token);
    expect(polls().map((poll) => poll.since)).toEqual(["mine", "s1", "s2", "s2", "rooms", "rooms"]);
    expect(
      polls()
        .slice(0, 5)
        .every((poll) => poll.timeout === "0"),
    ).toBe(true);
    expect(filters().map((filter) => filter.room.rooms)).toEqual([[], [], [], [], undefined, undefined]);
    expect(fixture.ingest.stored.map((input) => [input.rooms, input.overlap])).toEqual([
      [false, false],
      [false, false],
      [false, false],
      [false, false],
      [true, true],
    ]);
    expect(await pollState(fixture.sql, alice.device)).toMatchObject({ accountSince: "rooms", deviceSince: "rooms" });
  });
});

describe("answers that say nothing new", () => {
  const counts = (n: number) => ({ one_time_keys: { signed_curve25519: n } });

  test("the first is stored, a repetition only moves the next poll; any other answer is stored", async () => {
    let later = 0;
    fixture.hs.queueSync(alice.token, timeline(1), ...["n1", "n2", "n3"].map((next_batch) => v2({ next_batch, ...counts(5) })));
    await start({}, { now: () => Date.now() + later });
    await fixture.hs.waitForPoll(alice.token);
    expect(polls().at(-1)?.since).toBe("n3");
    expect((await pollState(fixture.sql, alice.device))?.accountSince).toBe("n1");
    fixture.hs.queueSync(alice.token, { ...timeline(2), next_batch: "m1" });
    await fixture.hs.waitForPoll(alice.token);
    expect(await pollState(fixture.sql, alice.device)).toMatchObject({ accountSince: "m1", deviceSince: "m1" });
    // Other counts are news.
    for (const [i, n] of [4, 4, 3].entries()) fixture.hs.queueSync(alice.token, v2({ next_batch: `k${i}`, ...counts(n) }));
    await fixture.hs.waitForPoll(alice.token);
    expect((await pollState(fixture.sql, alice.device))?.deviceSince).toBe("k2");
    // The stored since never becomes too old.
    later = 300_000;
    fixture.hs.queueSync(alice.token, v2({ next_batch: "old", ...counts(3) }));
    await fixture.hs.waitForPoll(alice.token);
    expect(polls().at(-1)?.since).toBe("old");
    expect((await pollState(fixture.sql, alice.device))?.deviceSince).toBe("old");
  });

  test("after an error polling continues from what is stored", async () => {
    fixture.hs.queueSync(alice.token, timeline(1), ...["n1", "n2", "n3"].map((next_batch) => v2({ next_batch })));
    await start();
    await fixture.hs.waitForPoll(alice.token);
    expect(polls().at(-1)?.since).toBe("n3");
    fixture.hs.fail({ path: "/sync" }, { status: 500, body: {} });
    fixture.hs.queueSync(alice.token, v2());
    await fixture.hs.waitForRequest({ path: "/sync", where: (request) => request.status === 500 });
    await fixture.hs.waitForPoll(alice.token);
    expect(polls().some((poll) => poll.since === "n3" && poll.timeout === "0")).toBe(false);
    expect(polls().some((poll) => poll.since === "n1" && poll.timeout === "0")).toBe(true);
  });
});

describe("leases", () => {
  test("a frozen owner's ingest is refused by its epoch, and its poller ends", async () => {
    fixture.hs.queueSync(alice.token, timeline(1));
    let thaw = () => {};
    fixture.ingest.gate = new Promise((resolve) => (thaw = resolve));
    const { end } = await start();
    await fixture.hs.waitForRequest({ path: "/sync", where: (request) => request.status === 200 });
    await fixture.sql`update leases set expires_at = now()`;
    const other = new Leases({ sql: fixture.sql, ownerId: "other", lockDb: null, now: Date.now });
    expect(await other.claimOne(alice.account)).toEqual({ account: alice.account, epoch: 2 });
    thaw();
    expect(await end).toBe("stale");
    expect(fixture.ingest.stored).toEqual([]);
    expect(await pollState(fixture.sql, alice.device)).toMatchObject({ accountSince: null, deviceSince: null });
  });

  test("if another process moved since, polling continues from there", async () => {
    fixture.hs.queueSync(alice.token, timeline(1));
    await start();
    await fixture.hs.waitForPoll(alice.token);
    await fixture.sql`update devices set since = 'moved'`;
    await fixture.sql`update accounts set since = 'moved'`;
    fixture.hs.queueSync(alice.token, timeline(1), timeline(1));
    await vi.waitFor(() => expect(polls().some((poll) => poll.since === "moved")).toBe(true), 10_000);
    expect(fixture.ingest.stale).toBe(1);
    expect(fixture.waits).toEqual([]);
  });

  test("stop ends a waiting poll at once", async () => {
    const { poller, end } = await start();
    const poll = await fixture.hs.waitForPoll(alice.token);
    poller.stop();
    expect(await end).toBe("stopped");
    await vi.waitFor(() => expect(poll.signal.aborted).toBe(true), 10_000);
  });

  test("stop ends an ingest after its commit", async () => {
    let open = () => {};
    fixture.ingest.gate = new Promise((resolve) => (open = resolve));
    fixture.hs.queueSync(alice.token, timeline(1), timeline(1));
    const { poller, end } = await start();
    await vi.waitFor(() => expect(fixture.ingest.calls).toBe(1), 10_000);
    poller.stop();
    open();
    expect(await end).toBe("stopped");
    expect((await pollState(fixture.sql, alice.device))?.accountSince).toBe("s1");
    expect(polls()).toHaveLength(1);
  });

  test("deleting the account ends its poller", async () => {
    const { end } = await start();
    await fixture.hs.waitForPoll(alice.token);
    await deleteAccount(fixture.sql, alice.account);
    fixture.hs.queueSync(alice.token, timeline(1));
    expect(await end).toBe("stale");
  });
});
