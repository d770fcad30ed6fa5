import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { isInstalled } from "../../test/support/daemon.ts";
import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { startBouncer } from "../../test/support/pgbouncer.ts";
import { databaseIdentity, isSameDatabase, isTransactionPooled } from "./database-identity.ts";
import { connect } from "./db.ts";

let database: TestDatabase;
let other: TestDatabase;
beforeEach(async () => {
  database = await freshDatabase(true);
  other = await freshDatabase(true);
});
afterEach(async () => {
  await database.drop();
  await other.drop();
});

test("a database has one identity, whoever asks, and another database has another", async () => {
  const identity = await databaseIdentity(database.sql);
  expect(identity).toMatch(/^\d+\/\d+$/);
  expect(await databaseIdentity(other.sql)).not.toBe(identity);
  const role = `syncv3_test_${process.pid}`;
  await database.sql.unsafe(`create role ${role} login`);
  const plain = connect({ ...database.options, username: role }, 1);
  try {
    expect(await databaseIdentity(plain)).toBe(identity);
  } finally {
    await plain.end();
    await database.sql.unsafe(`drop role ${role}`);
  }
});

test("the same database is distinguished from another one", async () => {
  expect(await isSameDatabase(database.sql, database.options)).toBe(true);
  expect(await isSameDatabase(database.sql, other.options)).toBe(false);
});

test("PostgreSQL itself is not taken for a pooler", async () => {
  expect(await isTransactionPooled(database.options)).toBe(false);
});

describe.runIf(isInstalled("pgbouncer"))("PgBouncer (skipped where it is not installed)", () => {
  test.each(["session", "transaction"] as const)("%s mode is seen, also while others are busy", async (mode) => {
    const bouncer = await startBouncer(mode, database.options);
    const options = { ...bouncer.options, prepare: false };
    const busy = connect(options, 10);
    onTestFinished(async () => {
      await busy.end({ timeout: 1 });
      await bouncer.stop();
    });
    expect(await isTransactionPooled(options)).toBe(mode === "transaction");
    const done = new AbortController();
    const lanes = Array.from({ length: 10 }, async () => {
      while (!done.signal.aborted) await busy`select pg_sleep(0.001)`;
    });
    const seen = await isTransactionPooled(options);
    done.abort();
    await Promise.all(lanes);
    expect(seen).toBe(mode === "transaction");
    expect(await isSameDatabase(busy, database.options)).toBe(true);
  });
});
