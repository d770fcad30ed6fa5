import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import { createConnection } from "./connections.ts";

let db: TestDatabase;
let ref: { account: AccountNo; device: DeviceNo };
beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  await db.sql`delete from accounts`;
  const [row] = await db.sql<(typeof ref)[]>`
    with a as (insert into accounts (user_id, position) values ('@a:test', 7) returning account)
    insert into devices (account, device_id, since) select account, 'D', 's1' from a returning account, device`;
  if (!row) throw new Error("no row was returned");
  ref = row;
});

const AT_ONCE = 300;
const create = (connId: string) => createConnection(db.sql, { ...ref, connId }, 5);
const sessions = async () => (await db.sql<{ session: number }[]>`select session from sessions where kind = 'connection'`).map((row) => row.session);

test("of many that begin a connection of one name together one has it in the end, and each other one was replaced once", async () => {
  const made = await Promise.all(Array.from({ length: AT_ONCE }, () => create("main")));
  const replaced = made.flatMap((one) => one.replaced);
  const [left, ...more] = await sessions();
  expect(more).toEqual([]);
  expect(replaced).toHaveLength(AT_ONCE - 1);
  expect(new Set([...replaced, left])).toEqual(new Set(made.map((one) => one.session)));
});

test("of many names the longest idle make room", async () => {
  await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => create(`c${i}`)));
  const last = await create("last");
  const kept = await sessions();
  expect(kept).toHaveLength(5);
  expect(kept).toContain(last.session);
});
