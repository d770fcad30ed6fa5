/** `node test/truth/server.ts HOMESERVER DSN PORT`: the server under test. What it does after a while it does soon here. */

import { createLogger } from "../../src/base/logger.ts";
import { SecretBox } from "../../src/base/secret-box.ts";
import { parseDsn } from "../../src/config/dsn.ts";
import { buildServer } from "../../src/server/build-server.ts";
import { connect } from "../../src/store/db.ts";

const [homeserver = "", dsn = "", port = ""] = process.argv.slice(2);
const db = parseDsn(dsn);
const sql = connect(db);
const server = await buildServer({
  settings: { trustedProxies: [], sessionIdleMs: 7 * 86_400_000, publicUrl: `http://127.0.0.1:${port}`, checksPerSecond: 200 },
  homeserver: new URL(homeserver),
  sql,
  db,
  secretBox: new SecretBox("a secret of the truth test"),
  version: "test",
  logger: createLogger("error"),
  supervision: { checkMs: 100, secondLookMs: 300, setbackMs: [100, 200, 300] },
});
process.stdout.write(`listening ${await server.listen({ host: "127.0.0.1", port: Number(port) })}\n`);

const stop = async (): Promise<void> => {
  await server.close();
  await sql.end({ timeout: 3 });
  process.exit();
};
// `disconnect`: the test is gone.
for (const event of ["SIGTERM", "disconnect"]) process.once(event, () => void stop());
