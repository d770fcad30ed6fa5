import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { DAY, HOUR, MINUTE, RetentionFixture } from "../../test/support/retention-fixture.ts";
import { findSessionState } from "../store/sessions.ts";
import type { Position, SessionNo } from "../wire/ids.ts";
import { resetAccount } from "./ingest/reset-account.ts";

let db: TestDatabase;
let it: RetentionFixture;

/** What the token of a session at a position stands for; null: R11. */
async function found(session: SessionNo, position: number): Promise<string | null> {
  const token = { session, state: 0, position: position as Position, toDevice: 0, e2ee: 0, feed: position as Position };
  const state = await findSessionState(db.sql, it.device, token, 7 * DAY);
  return state.kind === "found" ? state.body : null;
}

beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  it = await RetentionFixture.make(db);
});

const marks = async () => (await db.sql<{ position: number }[]>`select position from position_marks order by marked_at`).map((row) => row.position);

describe("D10: the horizon", () => {
  test("rises to the lowest last-used token, with a delay of an hour", async () => {
    await it.moveTo(100);
    await it.session({ position: 50 });
    await it.session({ position: 80 });
    await it.run();
    expect(await it.horizon()).toBe(0);
    it.pass(HOUR - 1);
    await it.run();
    expect(await it.horizon()).toBe(0);
    it.pass(1);
    await it.run();
    expect(await it.horizon()).toBe(50);
  });

  test("an older token works for an hour after a later one was used", async () => {
    await it.moveTo(100);
    const session = await it.session({ position: 50 });
    await it.run();
    it.pass(3 * DAY);
    await it.use(session, 90);
    await it.run();
    expect(await it.horizon()).toBe(50);
    it.pass(HOUR - 1);
    await it.run();
    expect(await it.horizon()).toBe(50);
    it.pass(1);
    await it.run();
    expect(await it.horizon()).toBe(90);
  });

  test("an older token that is used again counts at once", async () => {
    await it.moveTo(100);
    const session = await it.session({ position: 90 });
    await it.run();
    it.pass(HOUR - 1);
    await it.use(session, 60);
    it.pass(1);
    await it.run();
    expect(await it.horizon()).toBe(60);
  });

  test("never goes back", async () => {
    await it.moveTo(100);
    const session = await it.session({ position: 90 });
    await it.anHour();
    await it.use(session, 10);
    await it.anHour();
    expect(await it.horizon()).toBe(90);
  });

  test("without sessions it is the account's position of an hour ago", async () => {
    await it.moveTo(100);
    await it.run();
    it.pass(30 * MINUTE);
    await it.moveTo(200);
    await it.run();
    it.pass(30 * MINUTE);
    await it.run();
    expect(await it.horizon()).toBe(100);
    it.pass(30 * MINUTE);
    await it.run();
    expect(await it.horizon()).toBe(200);
  });

  test("a v2 client's session, which has no position, does not hold it back", async () => {
    await it.moveTo(100);
    await it.session({ kind: "v2" });
    await it.anHour();
    expect(await it.horizon()).toBe(100);
  });

  test("D20: a session that is idle for too long does not hold it back", async () => {
    await it.moveTo(100);
    await it.session({ position: 5, idleMs: 7 * DAY });
    await it.anHour();
    expect(await it.horizon()).toBe(100);
  });

  test("a token right at the horizon works, one below is R11", async () => {
    await it.moveTo(100);
    const session = await it.session({ position: 50 });
    await it.anHour();
    expect(await found(session, 50)).toBe("");
    expect(await found(session, 49)).toBeNull();
  });
});

describe("sessions that have had only their first answer", () => {
  test("D23: a session that had it before there was any data keeps its token of position 0", async () => {
    await db.sql`update accounts set complete = false`;
    const session = await it.session();
    await it.anHour();
    expect(await marks()).toEqual([]);
    await db.sql`update accounts set complete = true, position = 100`;
    for (let hour = 0; hour < 5; hour += 1) await it.anHour();
    expect(await it.horizon()).toBe(0);
    expect(await found(session, 0)).toBe("");
    await it.use(session, 100);
    await it.anHour();
    expect(await it.horizon()).toBe(100);
  });

  test("a session that began later keeps the account's position of that time, and does not hold back older rows", async () => {
    await it.moveTo(100);
    await it.run();
    it.pass(10 * MINUTE);
    await it.session();
    for (let hour = 0; hour < 5; hour += 1) {
      await it.moveTo(200 + hour);
      await it.anHour();
    }
    expect(await it.horizon()).toBe(100);
    // The marks in between are no longer needed.
    expect(await marks()).toEqual([100, 204]);
  });

  test("a mark from the moment at which the session began is not trusted", async () => {
    await it.moveTo(100);
    await it.run();
    it.pass(10 * MINUTE);
    await it.moveTo(200);
    await it.run();
    it.pass(MINUTE / 2);
    await it.session();
    await it.anHour();
    expect(await it.horizon()).toBe(100);
  });

  test("D26: after a reset new sessions start above the horizon, which stays", async () => {
    await it.moveTo(100);
    const old = await it.session({ position: 100 });
    await it.anHour();
    await resetAccount(db.sql, it.account, it.device);
    expect(await found(old, 100)).toBeNull();
    const fresh = await it.session();
    await it.anHour();
    expect(await it.horizon()).toBe(100);
    expect(await found(fresh, 100)).toBe("");
  });
});

describe("marks", () => {
  test("one per period, and only if something changed", async () => {
    await it.moveTo(10);
    await it.run();
    await it.moveTo(20);
    await it.run();
    expect(await marks()).toEqual([10]);
    it.pass(5 * MINUTE);
    await it.run();
    expect(await marks()).toEqual([10, 20]);
    it.pass(5 * MINUTE);
    await it.run();
    expect(await marks()).toEqual([10, 20]);
  });

  test("only those of the last hour and the one before remain", async () => {
    for (let run = 0; run < 30; run += 1) {
      await it.moveTo(run);
      await it.run();
      it.pass(5 * MINUTE);
    }
    it.pass(-5 * MINUTE);
    expect(await marks()).toEqual([17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29]);
    expect(await it.horizon()).toBe(17);
  });

  test("an account that is being written to is skipped until the next run", async () => {
    await it.moveTo(100);
    await db.sql.begin(async (tx) => {
      await tx`select from accounts for update`;
      await it.run();
      expect(await marks()).toEqual([]);
    });
    await it.run();
    it.pass(HOUR);
    await db.sql.begin(async (tx) => {
      await tx`select from accounts for update`;
      expect((await it.run()).horizons).toBe(0);
    });
    expect((await it.run()).horizons).toBe(1);
  });

  test("concurrent processes do no harm, and one of them does all the work", async () => {
    await it.moveTo(100);
    await it.run();
    it.pass(HOUR);
    const reports = await Promise.all(Array.from({ length: 4 }, () => it.job().runOnce()));
    expect(reports.map((report) => report.counts.horizons).reduce((sum, count) => sum + count)).toBe(1);
    expect(reports.some((report) => !report.busy)).toBe(true);
    expect(await it.horizon()).toBe(100);
  });
});
