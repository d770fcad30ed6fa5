import { afterAll, beforeAll, beforeEach } from "vitest";
import { freshDatabase, type TestDatabase } from "./database.ts";
import { TestAccount } from "./test-account.ts";

/** For the tests of a file: a database of their own, and in it a new account for each. */
export function eachWithAccount(assign: (account: TestAccount) => void): void {
  let db: TestDatabase;
  let users = 0;
  beforeAll(async () => {
    db = await freshDatabase();
  });
  afterAll(() => db.drop());
  beforeEach(async () => {
    users += 1;
    assign(await TestAccount.create(db.sql, `@me${users}:test`));
  });
}
