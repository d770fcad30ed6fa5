/** A process with an embedded database, for tests that kill it: `node run-embedded.ts DIR` prints `up` and the server's DSN. */

import { startEmbeddedDatabase } from "../../src/cli/embedded-database.ts";

const [, , directory = ""] = process.argv;
try {
  const database = await startEmbeddedDatabase({ directory });
  // Keeps the process.
  const timer = setInterval(() => {}, 60_000);
  process.once("SIGTERM", () => {
    clearInterval(timer);
    void database.stop();
  });
  process.stdout.write(`up ${database.dsn}\n`);
} catch (error) {
  process.stderr.write(`${String(error)}\n`);
  process.exitCode = 1;
}
