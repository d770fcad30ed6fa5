import { afterAll, afterEach, beforeAll, expect, test, vi } from "vitest";

import { freshDatabase, type TestDatabase } from "../../../test/support/database.ts";
import { ev, newRoom, toDevice, type V2Parts } from "../../../test/support/events.ts";
import { refuse, stopRefusing } from "../../../test/support/refusing.ts";
import { TestAccount } from "../../../test/support/test-account.ts";
import { testLog } from "../../../test/support/logged.ts";
import { readBreaker } from "../../store/poll-troubles.ts";
import { Draft } from "./draft.ts";
import { Ingester } from "./ingest.ts";

/** More accounts than one incident may cost. */
const ACCOUNTS = 200;

let db: TestDatabase;
let accounts: TestAccount[];
const log = testLog();
const rooms = (n: number) => `!room${n}:test`;

beforeAll(async () => {
  db = await freshDatabase();
  const ingester = new Ingester({ sql: db.sql, logger: log.logger, suspects: { tries: 3, patienceMs: 0 } });
  accounts = await Promise.all(Array.from({ length: ACCOUNTS }, (_, n) => TestAccount.create(db.sql, `@me${n}:test`, ingester)));
  await Promise.all(accounts.map((each, n) => each.step({ join: { [rooms(n)]: { timeline: newRoom(each.me) } } })));
});
afterAll(() => db.drop());
afterEach(async () => {
  vi.restoreAllMocks();
  await stopRefusing(db.sql);
});

let round = 0;
function answers(): V2Parts[] {
  round += 1;
  return accounts.map((each, n) => ({
    join: { [rooms(n)]: { timeline: [ev.message(each.me, "", { event_id: `$${round}-${n}` }), ev.name(each.me, `name ${round}`)] } },
    to_device: [toDevice("@bob:test", { round })],
  }));
}

/** What is wrong, and how it is repaired. */
const INCIDENTS: readonly { readonly what: string; readonly breakIt: () => Promise<unknown>; readonly repair: () => Promise<unknown> }[] = [
  {
    what: "a dropped column",
    breakIt: () => db.sql`alter table timeline rename column notify to notify_gone`,
    repair: () => db.sql`alter table timeline rename column notify_gone to notify`,
  },
  {
    // What PostgreSQL says of one that it reads; damaging the file of a database that other tests share would harm them.
    what: "a corrupt index",
    breakIt: () => refuse(db.sql, { table: "timeline", when: "true", code: "XX002" }),
    repair: () => stopRefusing(db.sql),
  },
  {
    what: "a constraint that refuses everything",
    breakIt: () => db.sql`alter table timeline add constraint nothing_fits check (ord < 0) not valid`,
    repair: () => db.sql`alter table timeline drop constraint nothing_fits`,
  },
  {
    what: "a constraint that refuses since",
    breakIt: () => db.sql`alter table accounts add constraint nothing_fits check (since = '') not valid`,
    repair: () => db.sql`alter table accounts drop constraint nothing_fits`,
  },
  {
    what: "a planner that throws for everybody",
    breakIt: async () =>
      vi.spyOn(Draft.prototype, "putFacts").mockImplementation(() => {
        throw new TypeError("a bug of the test");
      }),
    repair: async () => vi.restoreAllMocks(),
  },
];

test.each(INCIDENTS)(
  "N3: $what under 200 accounts: no since moves, no row is lost, and all continue when it is repaired",
  async ({ breakIt, repair }) => {
    const due = answers();
    const sinces = () => db.sql`select account, since, position from accounts order by account`;
    const before = await sinces();
    await breakIt();
    const feed = () => Promise.allSettled(accounts.map((each, n) => each.feed(due[n] ?? {})));
    for (let tries = 0; tries < 5; tries += 1) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const results = await feed();
      expect(results.filter(({ status }) => status === "fulfilled")).toEqual([]);
    }
    expect(await sinces()).toEqual(before);
    expect(await db.sql`select from poison`).toHaveLength(0);
    expect(await readBreaker(db.sql)).toMatchObject({ accounts: ACCOUNTS });
    await repair();
    expect((await feed()).filter(({ status }) => status === "rejected")).toEqual([]);
    const stored = await db.sql`select event_id from timeline where event_id like ${`$${round}-%`}`;
    expect(stored).toHaveLength(ACCOUNTS);
    expect(await db.sql`select from to_device`).toHaveLength(ACCOUNTS * round);
    expect(await db.sql`select from poison`).toHaveLength(0);
    expect(await readBreaker(db.sql)).toBeNull();
  },
);

test("N3: the log says so once, not for each account", () => {
  expect(log.text().match(/Answers of many accounts cannot be stored/g)).toHaveLength(1);
});

test("N3: three accounts whose answers fail in the same way are set aside", async () => {
  await refuse(db.sql, { table: "timeline", when: "new.event_id like '$alike%'", code: "22000" });
  const few = accounts.slice(0, 3);
  const feed = () =>
    Promise.allSettled(
      few.map((each, n) => each.feed({ join: { [rooms(n)]: { timeline: [ev.message(each.me, "", { event_id: `$alike${n}` })] } } })),
    );
  await feed();
  await feed();
  expect((await feed()).map(({ status }) => status)).toEqual(["fulfilled", "fulfilled", "fulfilled"]);
  expect(await db.sql`select from poison`).toHaveLength(3);
});
