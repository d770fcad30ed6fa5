import { afterEach, beforeEach, expect, test } from "vitest";

import { freshDatabase, type TestDatabase } from "../../test/support/database.ts";
import { migrate } from "./migrate.ts";

let database: TestDatabase;
beforeEach(async () => {
  database = await freshDatabase(true);
});
afterEach(() => database.drop());

test("B58: an empty database gets the whole schema, and a second run does nothing", async () => {
  expect(await migrate(database.options)).toContain("0001_first");
  const tables = await database.sql`select table_name from information_schema.tables where table_schema = 'public'`;
  expect(tables.map((row) => String(row["table_name"]))).toEqual(expect.arrayContaining(["accounts", "events", "timeline", "sessions"]));
  expect(await migrate(database.options)).toEqual([]);
});

test("of two that start together one migrates and the other waits", async () => {
  const [a, b] = await Promise.all([migrate(database.options), migrate(database.options)]);
  expect([...a, ...b].filter((name) => name === "0001_first")).toHaveLength(1);
  expect(a.length === 0 || b.length === 0).toBe(true);
});
