import { afterAll, beforeAll, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { ev, newRoom } from "../../test/support/events.ts";
import { TestAccount } from "../../test/support/test-account.ts";
import { silentLogger } from "../base/logger.ts";
import { RetentionJob } from "./retention-job.ts";
import { Hub } from "../feed/hub.ts";

const EVENTS = 100_000;
const PER_RESPONSE = 50;
const RUNS = 25;
const ROOM = "!busy:test";
const TABLES = ["events", "timeline", "state", "members", "room_facts"] as const;
let db: TestDatabase;

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());

type Figures = { readonly rows: Readonly<Record<string, number>>; readonly kilobytes: number };

async function measure(): Promise<Figures> {
  const rows: Record<string, number> = {};
  for (const table of TABLES) {
    // As autovacuum does in time.
    await db.sql`vacuum ${db.sql(table)}`;
    const [row] = await db.sql<{ count: number }[]>`select count(*) as count from ${db.sql(table)}`;
    rows[table] = row?.count ?? 0;
  }
  const [size] = await db.sql<{ bytes: number }[]>`
    select sum(pg_total_relation_size(c.oid))::bigint as bytes from pg_class c where relkind = 'r' and relnamespace = 'public'::regnamespace`;
  return { rows, kilobytes: Math.round((size?.bytes ?? 0) / 1024) };
}

/** Mostly messages; each response sets the topic, moves a member and counts unread messages. */
function response(number: number) {
  const timeline = Array.from({ length: PER_RESPONSE - 2 }, (_, index) => ev.message(`@u${index % 20}:test`, `message ${number} ${index}`));
  return {
    join: {
      [ROOM]: {
        timeline: [
          ...timeline,
          ev.topic("@u0:test", `topic ${number}`),
          ev.member(`@u${number % 20}:test`, number % 40 < 20 ? "join" : "leave", { displayname: `name ${number}` }),
        ],
        prev_batch: `t${number}`,
        unread: { notification_count: number, highlight_count: 0 },
      },
    },
  };
}

test("B43: after 100 000 events in a room the database is only as large as what its session can ask for", async () => {
  const account = await TestAccount.create(db.sql);
  await account.step({ join: { [ROOM]: { state: newRoom("@u0:test"), timeline: [], prev_batch: "t" } } });
  await db.sql`insert into sessions (account, device, kind, position) values (${account.account}, ${account.device}, 'v3', ${await account.position()})`;
  let clock = Date.now();
  const job = new RetentionJob({ sql: db.sql, feed: new Hub(), logger: silentLogger(), sessionIdleMs: 7 * 24 * 3_600_000, now: () => clock });
  const perRun = EVENTS / PER_RESPONSE / RUNS;
  const figures: Figures[] = [];
  let retentionMs = 0;
  for (let run = 0; run < RUNS; run += 1) {
    let position = 0;
    for (let number = run * perRun; number < (run + 1) * perRun; number += 1) position = await account.step(response(number));
    // The client catches up, and half an hour passes.
    await db.sql`update sessions set position = ${position}`;
    clock += 30 * 60_000;
    const started = performance.now();
    await job.runOnce();
    retentionMs += performance.now() - started;
    figures.push(await measure());
  }
  const [early, last] = [figures[9], figures.at(-1)];
  if (!early || !last) throw new Error("nothing was measured");
  const shown = Object.entries(last.rows).map(([table, count]) => `${table} ${count}`);
  process.stdout.write(
    `${EVENTS} events: stored ${shown.join(", ")}; ${early.kilobytes} kB after ${(EVENTS / RUNS) * 10}, ${last.kilobytes} kB at the end; ` +
      `retention ${Math.round(retentionMs / RUNS)} ms a run\n`,
  );
  // The rows of an hour and the period before it, out of all there ever were; and the 100 newest before that.
  const most = (EVENTS / RUNS) * 3 + 200;
  expect(last.rows["timeline"]).toBeLessThan(most);
  expect(last.rows["events"]).toBeLessThan(most + 50);
  expect(last.rows["state"]).toBeLessThan(most / PER_RESPONSE + 50);
  expect(last.rows["members"]).toBeLessThan(most / PER_RESPONSE + 50);
  expect(last.rows["room_facts"]).toBeLessThan(most / PER_RESPONSE + 50);
  expect(last.kilobytes).toBeLessThan(early.kilobytes * 1.25);
}, 120_000);
