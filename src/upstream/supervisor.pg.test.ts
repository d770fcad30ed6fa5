import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { ev, type FakeRequest, toDevice, v2 } from "../../test/support/fake-homeserver.ts";
import { asksForPresence } from "../../test/support/single-section-polls.ts";
import { type UpstreamFixture, upstreamFixture } from "../../test/support/upstream-fixture.ts";
import { deleteAccount, deleteDevice, pollState } from "../store/devices.ts";
import { markDead } from "../store/tokens.ts";

let database: TestDatabase;
let fixture: UpstreamFixture;

beforeAll(async () => {
  database = await freshDatabase();
});
afterAll(() => database.drop());
beforeEach(async () => {
  fixture = await upstreamFixture(database);
});
afterEach(() => fixture.stop());

const timeline = (next?: string) =>
  v2({ ...(next === undefined ? {} : { next_batch: next }), join: { "!a:test": { timeline: [ev.message("@bob:test")] } } });
const until = <T>(check: () => T | Promise<T>): Promise<T> => vi.waitFor(check, { timeout: 8000, interval: 20 });
/** Whether the newest poll with a token had rooms. */
const withRooms = (token: string) => !(fixture.hs.polls(token).at(-1)?.query.get("filter") ?? "").includes('"rooms":[]');
const sinces = (token: string) => fixture.hs.polls(token).map((poll) => poll.query.get("since"));
const expireLeases = () => fixture.sql`update leases set expires_at = now() - interval '1 second'`;

describe("which accounts are polled", () => {
  test("B56: after a restart polling resumes where it was, without any client", async () => {
    const alice = await fixture.login();
    fixture.hs.queueSync(alice.token, timeline());
    const first = fixture.supervise();
    first.ensure(alice.account, alice.device);
    await fixture.hs.waitForPoll(alice.token);
    await first.stop();
    fixture.hs.queueSync(alice.token, timeline());
    fixture.supervise();
    await fixture.hs.waitForPoll(alice.token);
    expect(sinces(alice.token)).toEqual([null, "s1", "s1", "s2"]);
    expect(fixture.hs.peakPolls(alice.token)).toBe(1);
  });

  test("ensure starts polling a new account at once, long before the next sweep", async () => {
    const supervisor = fixture.supervise({ sweepMs: 3_600_000 });
    await until(async () => expect(await fixture.sql`select 1 from leases`).toHaveLength(0));
    const alice = await fixture.login();
    supervisor.ensure(alice.account, alice.device);
    supervisor.ensure(alice.account, alice.device);
    await fixture.hs.waitForPoll(alice.token);
    expect(supervisor.accounts()).toEqual([alice.account]);
    expect(fixture.hs.peakPolls(alice.token)).toBe(1);
  });

  test("accounts without a client for 30 days are not polled, and resume when one comes", async () => {
    const alice = await fixture.login();
    const supervisor = fixture.supervise();
    await fixture.hs.waitForPoll(alice.token);
    await fixture.sql`update accounts set seen_at = now() - interval '31 days'`;
    await fixture.sql`update devices set seen_at = now() - interval '31 days'`;
    await until(async () => expect(await fixture.sql`select 1 from leases where expires_at > now()`).toHaveLength(0));
    expect(supervisor.accounts()).toEqual([]);
    const sent = fixture.hs.polls(alice.token).length;
    supervisor.ensure(alice.account, alice.device);
    await fixture.hs.waitForRequest({ path: "/sync", token: alice.token }, sent + 1);
    const [row] = await fixture.sql`select seen_at > now() - interval '1 minute' as seen from accounts`;
    expect(row?.["seen"]).toBe(true);
  });

  test("S2: a device without a client for 30 days is not polled while another device of the account is, and resumes when its client comes", async () => {
    const phone = await fixture.login("@alice:test", "PHONE");
    const laptop = await fixture.login("@alice:test", "LAPTOP");
    const supervisor = fixture.supervise();
    await fixture.hs.waitForPoll(phone.token);
    await fixture.hs.waitForPoll(laptop.token);
    await fixture.sql`update devices set seen_at = now() - interval '31 days' where device = ${phone.device}`;
    await until(async () => expect(fixture.hs.polls(phone.token).at(-1)?.signal.aborted).toBe(true));
    await fixture.hs.waitForPoll(laptop.token);
    supervisor.ensure(phone.account, phone.device);
    await fixture.hs.waitForPoll(phone.token);
  });

  test("B57: an account whose only token died is not polled until a newer one is registered", async () => {
    const alice = await fixture.login();
    const supervisor = fixture.supervise();
    await fixture.hs.waitForPoll(alice.token);
    fixture.hs.revoke(alice.token);
    await until(() => expect(supervisor.accounts()).toEqual([]));
    supervisor.ensure(alice.account, alice.device);
    const sent = fixture.hs.polls(alice.token).length;
    const fresh = fixture.hs.login("@alice:test", "PHONE", "fresh");
    await fixture.register(fresh);
    supervisor.ensure(alice.account, alice.device);
    await fixture.hs.waitForPoll(fresh);
    expect(fixture.hs.polls(alice.token)).toHaveLength(sent);
  });

  test("a sweep checks few of many accounts: all in turn, those with a new token at once", async () => {
    const users = await Promise.all(["a", "b", "c", "d"].map((name) => fixture.login(`@${name}:test`)));
    // One account per sweep, and a long time between sweeps: what is noticed soon was not noticed in turn.
    fixture.supervise({ sweepMs: 300, sweepBatch: 1 });
    await Promise.all(users.map((user) => fixture.hs.waitForPoll(user.token)));
    const further = await fixture.login("@c:test", "TABLET");
    await fixture.hs.waitForPoll(further.token);
    const [first] = users;
    await fixture.sql`update tokens set dead_at = now() where account = ${first?.account ?? 0}`;
    await until(async () => expect(await fixture.sql`select from leases where expires_at > now()`).toHaveLength(3));
  });

  test("a token that comes while another process answers the client is noticed by the sweep", async () => {
    const alice = await fixture.login();
    const here = fixture.supervise();
    await fixture.hs.waitForPoll(alice.token);
    const there = fixture.supervise({ sql: fixture.pool() });
    const laptop = await fixture.login("@alice:test", "LAPTOP");
    there.ensure(laptop.account, laptop.device);
    await fixture.hs.waitForPoll(laptop.token);
    expect(here.accounts()).toEqual([alice.account]);
    expect(there.accounts()).toEqual([]);
  });
});

describe("devices of one account", () => {
  test("one polls the rooms, the others only their own data", async () => {
    const phone = await fixture.login();
    const laptop = await fixture.login("@alice:test", "LAPTOP");
    fixture.supervise();
    await Promise.all([fixture.hs.waitForPoll(phone.token), fixture.hs.waitForPoll(laptop.token)]);
    expect(withRooms(phone.token)).toBe(!withRooms(laptop.token));
  });

  test("when the token of the room poller dies, another device takes over from the account's since", async () => {
    const phone = await fixture.login();
    const supervisor = fixture.supervise();
    fixture.hs.queueSync(phone.token, timeline("rooms-1"));
    await fixture.hs.waitForPoll(phone.token);
    const laptop = await fixture.login("@alice:test", "LAPTOP");
    fixture.hs.queueSync(laptop.token, v2({ next_batch: "laptop-1", to_device: [toDevice("@bob:test")] }));
    supervisor.ensure(laptop.account, laptop.device);
    await fixture.hs.waitForPoll(laptop.token);
    expect(withRooms(laptop.token)).toBe(false);
    fixture.hs.revoke(phone.token);
    await fixture.hs.waitForRequest({ path: "/sync", token: laptop.token, where: (request) => request.query.get("since") === "rooms-1" });
    await fixture.hs.waitForPoll(laptop.token);
    expect(withRooms(laptop.token)).toBe(true);
    expect(fixture.hs.peakPolls(laptop.token)).toBe(1);
    expect(sinces(laptop.token).slice(0, 2)).toEqual([null, "laptop-1"]);
    expect(fixture.ingest.stored.filter((input) => input.device === laptop.device && input.rooms)[0]).toMatchObject({
      overlap: true,
      accountSince: "rooms-1",
    });
    expect(await pollState(fixture.sql, laptop.device)).toMatchObject({ accountSince: "rooms-1", deviceSince: "rooms-1" });
  });

  test("a token that another process found dead ends its poller by the sweep", async () => {
    const phone = await fixture.login();
    const supervisor = fixture.supervise();
    const poll = await fixture.hs.waitForPoll(phone.token);
    await markDead(fixture.sql, fixture.box.hashToken(phone.token), false);
    await until(() => expect(poll.signal.aborted).toBe(true));
    await until(() => expect(supervisor.accounts()).toEqual([]));
  });

  test("a session that asks for presence gets it polled", async () => {
    const phone = await fixture.login();
    fixture.supervise();
    await fixture.hs.waitForPoll(phone.token);
    await fixture.sql`insert into sessions (account, device, kind, presence) values (${phone.account}, ${phone.device}, 'v3', true)`;
    const asks = (request: FakeRequest) => !asksForPresence(request) && !(request.query.get("filter") ?? "").includes('"presence"');
    const poll = await fixture.hs.waitForRequest({ path: "/sync", where: asks });
    expect(poll.query.get("since")).toBe("s0");
  });
});

describe("several processes", () => {
  test("two never poll one account at the same time", async () => {
    const users = await Promise.all(Array.from({ length: 12 }, (_, index) => fixture.login(`@user${index}:test`)));
    const [one, two] = [fixture.supervise({ sql: fixture.pool() }), fixture.supervise({ sql: fixture.pool() })];
    for (const user of users) {
      one.ensure(user.account, user.device);
      two.ensure(user.account, user.device);
    }
    await Promise.all(users.map((user) => fixture.hs.waitForPoll(user.token)));
    expect([...one.accounts(), ...two.accounts()].toSorted((a, b) => a - b)).toEqual(users.map((user) => user.account).toSorted((a, b) => a - b));
    await one.stop();
    await until(() => expect(two.accounts()).toHaveLength(12));
    await Promise.all(users.map((user) => fixture.hs.waitForPoll(user.token)));
    expect(users.map((user) => fixture.hs.peakPolls(user.token))).toEqual(users.map(() => 1));
    expect(fixture.ingest.stale).toBe(0);
  });

  test("an expired lease is taken over; the former owner's late response is refused, and it stops", async () => {
    const alice = await fixture.login();
    const frozen = fixture.supervise({ sql: fixture.pool(), sweepMs: 3_600_000 });
    frozen.ensure(alice.account, alice.device);
    await fixture.hs.waitForPoll(alice.token);
    await expireLeases();
    const fresh = fixture.supervise({ sql: fixture.pool() });
    await until(() => expect(fresh.accounts()).toEqual([alice.account]));
    await until(() => expect(fixture.hs.polls(alice.token).filter((poll) => poll.status === undefined && !poll.signal.aborted)).toHaveLength(2));
    const before = fixture.ingest.stored.length;
    fixture.hs.queueSync(alice.token, timeline());
    await until(() => expect(frozen.accounts()).toEqual([]));
    await until(() => expect(fixture.ingest.stored.length).toBe(before + 1));
    expect(fresh.accounts()).toEqual([alice.account]);
    expect(new Set(fixture.ingest.stored.slice(before).map((input) => input.epoch))).toEqual(new Set([2]));
  });

  test("a dead process is replaced at once, not when its leases expire", async () => {
    const alice = await fixture.login();
    await fixture.sql`insert into leases (account, owner, epoch, expires_at) values (${alice.account}, 'lock:dead', 7, now() + interval '1 hour')`;
    fixture.supervise({ lockDb: fixture.database.options });
    await fixture.hs.waitForPoll(alice.token);
    expect(await fixture.sql`select epoch from leases`).toEqual([{ epoch: 8 }]);
  });
});

describe("endings", () => {
  test("D2: forget resolves when a device, or the whole account, is no longer polled, and it is not polled again at once", async () => {
    const phone = await fixture.login();
    const laptop = await fixture.login("@alice:test", "LAPTOP");
    const supervisor = fixture.supervise();
    const polls = await Promise.all([fixture.hs.waitForPoll(phone.token), fixture.hs.waitForPoll(laptop.token)]);
    await supervisor.forget(phone.account, phone.device);
    await deleteDevice(fixture.sql, phone.device);
    await until(() => expect(polls[0].signal.aborted).toBe(true));
    await until(() => expect(withRooms(laptop.token)).toBe(true));
    await supervisor.forget(laptop.account, null);
    await fixture.hs.waitForRequest({ path: "/sync", token: laptop.token });
    const sent = fixture.hs.polls(laptop.token).length;
    await deleteAccount(fixture.sql, laptop.account);
    await until(() => expect(supervisor.accounts()).toEqual([]));
    expect(fixture.hs.polls(laptop.token)).toHaveLength(sent);
  });

  test("stop ends the polls, releases the leases, and nothing starts again", async () => {
    const alice = await fixture.login();
    const supervisor = fixture.supervise({ lockDb: fixture.database.options });
    const poll = await fixture.hs.waitForPoll(alice.token);
    await supervisor.stop();
    await until(() => expect(poll.signal.aborted).toBe(true));
    expect(await fixture.sql`select 1 from leases where expires_at > now()`).toHaveLength(0);
    supervisor.ensure(alice.account, alice.device);
    expect(supervisor.accounts()).toEqual([]);
  });

  test("D2: stop writes what the last polls proved", async () => {
    const alice = await fixture.login();
    const supervisor = fixture.supervise();
    await fixture.hs.waitForPoll(alice.token);
    await fixture.sql`update tokens set verified_at = now() - interval '1 hour'`;
    fixture.hs.queueSync(alice.token, timeline());
    await until(() => expect(fixture.ingest.stored.length).toBe(2));
    await supervisor.stop();
    const [row] = await fixture.sql`select verified_at > now() - interval '1 minute' as proven from tokens`;
    expect(row?.["proven"]).toBe(true);
  });

  test("S1: typing of an account that is no longer polled ends, and waiting requests are woken", async () => {
    const alice = await fixture.login();
    await fixture.sql`insert into typing (account, room_id, users, ord, told_at) values (${alice.account}, '!a:test', '["@bob:test"]', 1, now() - interval '1 hour')`;
    await markDead(fixture.sql, fixture.box.hashToken(alice.token), false);
    const wakes = fixture.wakes(alice.account);
    fixture.supervise();
    await until(() => expect(wakes).toEqual([{ type: "news", account: alice.account, kinds: new Set(["typing"]), rooms: new Set(["!a:test"]) }]));
  });

  test("polling survives an outage of the database", async () => {
    const alice = await fixture.login();
    fixture.supervise({ sql: fixture.pool() });
    await fixture.hs.waitForPoll(alice.token);
    await fixture.sql`select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`;
    fixture.hs.queueSync(alice.token, timeline("after"));
    await until(() => expect(sinces(alice.token)).toContain("after"));
  });
});
