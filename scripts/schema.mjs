/** `npm run schema`: writes sql/schema.sql, from a database of its own in which all migrations ran. */

import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startEmbeddedDatabase } from "../src/cli/embedded-database.ts";
import { connect } from "../src/store/db.ts";
import { migrate } from "../src/store/migrate.ts";
import { SCHEMA_FILE, schemaText } from "../test/support/schema-text.ts";

const directory = await mkdtemp(join(tmpdir(), "syncv3-schema-"));
try {
  const embedded = await startEmbeddedDatabase({ directory });
  try {
    await migrate(embedded.options);
    const sql = connect(embedded.options);
    try {
      await writeFile(SCHEMA_FILE, await schemaText(sql));
    } finally {
      await sql.end();
    }
  } finally {
    await embedded.stop();
  }
} finally {
  await rm(directory, { recursive: true, force: true });
}
