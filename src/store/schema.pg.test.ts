import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";

import { freshDatabase } from "../../test/support/database.ts";
import { SCHEMA_FILE, schemaText } from "../../test/support/schema-text.ts";

test("sql/schema.sql is the schema after all migrations; where it is not, `npm run schema` writes it", async () => {
  const database = await freshDatabase();
  try {
    expect(await schemaText(database.sql)).toBe(await readFile(SCHEMA_FILE, "utf8"));
  } finally {
    await database.drop();
  }
});
