import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { TestAccount } from "../../test/support/test-account.ts";
import { createConnection } from "./connections.ts";

let db: TestDatabase;
let owner: TestAccount;
beforeAll(async () => {
  db = await freshDatabase();
});
afterAll(() => db.drop());
beforeEach(async () => {
  await db.sql`delete from accounts`;
  owner = await TestAccount.create(db.sql);
});

const AT_ONCE = 300;
const create = (connId: string) => createConnection(db.sql, { account: owner.account, device: owner.device, connId }, 5);
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
