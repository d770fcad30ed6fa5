import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { HOUR, RetentionFixture } from "../../test/support/retention-fixture.ts";
import type { Logger } from "../base/logger.ts";
import { RetentionJob } from "./retention-job.ts";
import { Hub } from "../feed/hub.ts";

let db: TestDatabase;
let it: RetentionFixture;

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  it = await RetentionFixture.make(db);
});

type Line = { readonly level: string; readonly fields: Record<string, unknown> };

/** A logger that stores its lines, and notifies of each. */
function recorder() {
  const lines: Line[] = [];
  let heard = Promise.withResolvers<Line>();
  const at = (level: string) => (fields: Record<string, unknown>) => {
    lines.push({ level, fields });
    heard.resolve({ level, fields });
    heard = Promise.withResolvers<Line>();
  };
  const logger = { debug: at("debug"), warn: at("warn") } as unknown as Logger;
  return { lines, logger, next: () => heard.promise };
}

test("logs in one debug line what it did, and only that", async () => {
  await it.moveTo(300);
  await it.room("r", 1, 250);
  await it.run();
  it.pass(HOUR);
  const { lines, logger } = recorder();
  const report = await new RetentionJob({ sql: db.sql, feed: new Hub(), logger, sessionIdleMs: HOUR, now: () => it.now }).runOnce();
  expect(report).toMatchObject({ busy: false, counts: { horizons: 1, accounts_swept: 1, timeline: 150, sessions: 0 } });
  expect(lines).toEqual([
    { level: "debug", fields: { horizons: 1, accounts_swept: 1, timeline: 150, events: 150, busy: false, ms: expect.any(Number) as number } },
  ]);
});

test("leaves the work to another process that is doing it", async () => {
  await it.session({ idleMs: 30 * 24 * HOUR });
  await db.sql.begin(async (tx) => {
    await tx`select pg_advisory_xact_lock(hashtextextended('syncv3 retention', 0))`;
    expect(await it.job().runOnce()).toMatchObject({ busy: true, counts: { sessions: 0 } });
  });
  expect(await it.job().runOnce()).toMatchObject({ busy: false, counts: { sessions: 1 } });
});

test("runs each period by the database's clock, continues after an error, and stops", async () => {
  await db.sql`
    insert into sessions (account, device, kind, used_at) values (${it.account}, ${it.device}, 'v3', now() - interval '2 hours')`;
  const { lines, logger, next } = recorder();
  await db.sql`alter table poison rename to away`;
  const job = new RetentionJob({ sql: db.sql, feed: new Hub(), logger, sessionIdleMs: HOUR, everyMs: 20 });
  job.start();
  expect((await next()).level).toBe("warn");
  await db.sql`alter table away rename to poison`;
  while ((await next()).level !== "debug") continue;
  await job.stop();
  const count = lines.length;
  expect(await db.sql`select from sessions`).toHaveLength(0);
  await job.stop();
  expect(lines).toHaveLength(count);
});

test("a stop before the first run, or during one, is clean", async () => {
  const idle = new RetentionJob({ sql: db.sql, feed: new Hub(), logger: recorder().logger, sessionIdleMs: HOUR });
  idle.start();
  await idle.stop();
  const job = it.job();
  await job.stop();
  await expect(job.runOnce()).rejects.toThrow("retention was stopped");
});
