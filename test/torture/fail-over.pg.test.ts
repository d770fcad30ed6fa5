/** A fail-over of PostgreSQL to a synchronous standby in mid-traffic: what clients see of it is delay. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { silentLogger } from "../../src/base/logger.ts";
import { startEmbeddedDatabase } from "../../src/cli/embedded-database.ts";
import { connect } from "../../src/store/db.ts";
import { migrate } from "../../src/store/migrate.ts";
import { startV3 } from "../support/v3.ts";
import { threeConsumers } from "./consumers.ts";
import { Followers, whole } from "./followers.ts";
import { startStandby, Switch } from "./standby.ts";
import { firstAnswer, numbered } from "./traffic.ts";

const [ME, ROOM] = ["@failover:test", "!failover:test"];

test("D22 I6: nothing that was acknowledged is lost, and no request is refused", { timeout: 120_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-failover-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const first = join(directory, "first");
  const primary = await startEmbeddedDatabase({ directory: first });
  onTestFinished(() => primary.stop());
  await migrate(primary.options, silentLogger());
  const standby = await startStandby(primary, first, join(directory, "second"));
  onTestFinished(() => standby.stop());
  const between = await Switch.to(primary.options.path ?? "");
  onTestFinished(() => between.close());
  const options = { host: "127.0.0.1", port: between.port, username: "syncv3", database: "syncv3" };
  const sql = connect(options);
  const t = await startV3({ database: { sql, options, dsn: "", drop: () => sql.end({ timeout: 1 }) } });
  onTestFinished(() => t.stop());

  const client = t.login(ME, "PHONE", firstAnswer(ME, ROOM));
  const followers = new Followers((changed) => threeConsumers(client, ROOM, changed));
  onTestFinished(() => followers.stop());
  await followers.begun();
  for (let n = 0; n < 40; n += 1) t.hs.queueSync(client.token, numbered(ROOM, n));
  await followers.someHave(5);
  // All of the primary at once, as when its machine goes.
  const pid = Number((await readFile(join(first, "postgresql/postmaster.pid"), "utf8")).split("\n")[0]);
  process.kill(pid, "SIGKILL");
  await standby.promote();
  between.turn(standby.path);
  for (let n = 40; n < 60; n += 1) t.hs.queueSync(client.token, numbered(ROOM, n));
  await followers.allHave(60);
  const isThere = await sql`select pg_is_in_recovery() as standby, inet_server_port() as port`;
  expect(isThere[0]).toMatchObject({ standby: false });
  for (const report of followers.reports(60)) {
    expect(report).toMatchObject({ interrupted: 0, begunAnew: 0, toDevice: whole(60), events: whole(60) });
  }
});
