import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";

import { freshDatabase, type TestDatabase } from "../../../test/support/database.ts";
import { ev, newRoom, toDevice } from "../../../test/support/events.ts";
import { anyOperation, RandomWorld } from "../../../test/support/random-world.ts";
import { TestAccount } from "../../../test/support/test-account.ts";

import { Ingester } from "./ingest.ts";

let together: TestDatabase;
let apart: TestDatabase;
let ingester: Ingester;
let users = 0;

beforeAll(async () => {
  [together, apart] = await Promise.all([freshDatabase(), freshDatabase()]);
  ingester = new Ingester({ sql: together.sql, suspects: { tries: 1, patienceMs: 0 } });
});
afterAll(() => Promise.all([together.drop(), apart.drop()]));

const ROOM = "!shared:test";

/** Accounts whose responses are stored together if they arrive together. */
async function accounts(count: number): Promise<TestAccount[]> {
  const made: TestAccount[] = [];
  for (let n = 0; n < count; n += 1) {
    users += 1;
    // oxlint-disable-next-line no-await-in-loop -- in an order
    made.push(await TestAccount.create(together.sql, `@me${users}:test`, ingester));
  }
  return made;
}

/** How many transactions last wrote these accounts. */
async function writers(of: readonly TestAccount[]): Promise<number> {
  const ids = of.map((each) => each.account);
  const rows = await together.sql`select distinct xmin::text from accounts where account = any(${ids}::bigint[])`;
  return rows.length;
}

test("responses that arrive at the same time are stored in few transactions", async () => {
  const all = await accounts(20);
  const feed = () =>
    Promise.all(all.map((each) => each.step({ join: { [ROOM]: { timeline: newRoom(each.me) } }, to_device: [toDevice("@bob:test")] })));
  await feed();
  expect(await writers(all)).toBeLessThanOrEqual(2);
});

test("B8 B26: many accounts' batches stored together give the same rows as one by one", async () => {
  const histories = fc.array(fc.array(fc.array(anyOperation(3), { maxLength: 6 }), { minLength: 3, maxLength: 3 }), { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(histories, async (batches) => {
      users += 1;
      const names = [0, 1, 2].map((n) => `@world${users}-${n}:test`);
      const worlds = names.map((name) => new RandomWorld(name, 2));
      const make = (db: TestDatabase, shared: Ingester | undefined) => Promise.all(names.map((name) => TestAccount.create(db.sql, name, shared)));
      const [left, right] = [await make(together, ingester), await make(apart, undefined)];
      for (const [step, operations] of batches.entries()) {
        const responses = worlds.map((world, n) => JSON.stringify({ ...world.respond(operations[n] ?? []), next_batch: `s${step}` }));
        await Promise.all(left.map((each, n) => each.feed(responses[n] ?? "")));
        for (const [n, each] of right.entries()) await each.feed(responses[n] ?? "");
      }
      const shown = (of: TestAccount) => of.dump().then((dump) => JSON.stringify(dump).replaceAll(/\\"(account|device|txn_device)\\": \d+/g, ""));
      expect(await Promise.all(left.map(shown))).toEqual(await Promise.all(right.map(shown)));
    }),
    { numRuns: 40 },
  );
});

test("a response whose content cannot be stored is set aside, the others are stored completely (TestBadPollDataDoesntDropToDeviceMsgs)", async () => {
  const all = await accounts(5);
  const [bad] = all;
  if (!bad) throw new Error("no account");
  await Promise.all(all.map((each) => each.step({ join: { [ROOM]: { timeline: newRoom(each.me) } } })));
  // A row that conflicts with the new one, as in ingest.pg.test.ts.
  await together.sql`
    insert into timeline (account, ord, room_id, event_id) values (${bad.account}, ${(await bad.position()) + 1}, ${ROOM}, '$in-the-way')`;
  const event = ev.message("@bob:test");
  const results = await Promise.all(all.map((each) => each.feed({ join: { [ROOM]: { timeline: [event] } }, to_device: [toDevice("@bob:test")] })));
  expect(results.map((result) => result.kind === "stored" && result.setAside !== null)).toEqual([true, false, false, false, false]);
  const rows = await together.sql`select device from to_device where device = any(${all.map((each) => each.device)}::bigint[])`;
  expect(rows).toHaveLength(5);
  for (const each of all.slice(1)) expect(await each.ids(ROOM)).toContain(event.event_id);
});

test("an account that another transaction writes to does not delay the others", async () => {
  const all = await accounts(4);
  const [busy, ...others] = all;
  if (!busy) throw new Error("no account");
  const waiting = { step: Promise.resolve(0) };
  await together.sql.begin(async (tx) => {
    await tx`select from accounts where account = ${busy.account} for update`;
    waiting.step = busy.step({});
    await Promise.all(others.map((each) => each.step({ to_device: [toDevice("@bob:test")] })));
    expect(await tx`select since from accounts where account = ${busy.account}`).toEqual([{ since: null }]);
  });
  await waiting.step;
  expect(await together.sql`select since from accounts where account = ${busy.account}`).toEqual([{ since: "s1" }]);
});

test("an event that one account received pruned is stored pruned, whoever else received it in full", async () => {
  const [full, pruned] = await accounts(2);
  if (!full || !pruned) throw new Error("no accounts");
  const event = ev.message("@bob:test", "secret");
  const redaction = ev.event("m.room.redaction", "@bob:test", {}, { redacts: event.event_id });
  const redacted = { ...event, content: {}, unsigned: { redacted_because: redaction } };
  await Promise.all([full.step({ join: { [ROOM]: { timeline: [event] } } }), pruned.step({ join: { [ROOM]: { timeline: [redacted] } } })]);
  const [row] = await together.sql`select pruned, body from events where event_id = ${event.event_id}`;
  expect(row).toMatchObject({ pruned: true, body: expect.not.stringContaining("secret") });
});

test("a stale response changes nothing, and the others are stored", async () => {
  const all = await accounts(3);
  const results = await Promise.all(all.map((each, n) => each.feed({}, n === 1 ? { deviceSince: "other" } : {})));
  expect(results.map((result) => result.kind)).toEqual(["stored", "stale", "stored"]);
});
