import { afterAll, beforeAll, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { TestAccount } from "../../test/support/test-account.ts";
import type { Position, RoomId } from "../wire/ids.ts";
import { createSession, saveListSnapshot, saveSessionState, touchSession, useSession } from "./sessions.ts";

let db: TestDatabase;
beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());

async function created(...args: Parameters<typeof createSession>) {
  const made = await createSession(...args);
  if (!made) throw new Error("the device is gone");
  return made;
}

test("D20: concurrent requests for pages and deltas never deadlock", async () => {
  const { sql } = db;
  const { account, device } = await TestAccount.create(sql);
  const { session } = await created(sql, { account, device, takesPart: true, presence: false, feed: null }, 10);
  const state = (await saveSessionState(sql, session, "{}", undefined)) ?? 0;
  const use = { account, session, state, position: 7 as Position, acked: null, takesPart: null, presence: false, feed: null };
  for (let round = 0; round < 300; round += 1) {
    await Promise.all([useSession(sql, use), touchSession(sql, session, state), touchSession(sql, session, state)]);
  }
  // A backend's statistics become visible when it is idle for a moment, or on request.
  await Promise.all(Array.from({ length: 10 }, () => sql`select pg_stat_force_next_flush()`));
  await sql`select 1`;
  expect(await sql`select deadlocks from pg_stat_database where datname = current_database()`).toEqual([{ deadlocks: 0 }]);
}, 60_000);

test("R11: nothing is stored for a session that has just ended, and nothing fails", async () => {
  const { sql } = db;
  const { account, device } = await TestAccount.create(sql, "@ended:test");
  const { session } = await created(sql, { account, device, takesPart: true, presence: false, feed: null }, 10);
  const snapshot = { number: 1, hash: Buffer.from("x"), rooms: ["!a:test" as RoomId] };
  await saveListSnapshot(sql, session, snapshot);
  await saveListSnapshot(sql, session, snapshot);
  expect(await sql`select snapshot, rooms from list_snapshots where session = ${session}`).toEqual([{ snapshot: 1, rooms: '["!a:test"]' }]);
  await sql`delete from sessions where session = ${session}`;
  await saveListSnapshot(sql, session, snapshot);
  expect(await saveSessionState(sql, session, "{}", undefined)).toBeNull();
  expect(await sql`select from list_snapshots where session = ${session}`).toHaveLength(0);
});
