/** `-prom`, with one process and with several. */

import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test, vi } from "vitest";
import { runCommand } from "../../test/support/command.ts";
import { freshDatabase } from "../../test/support/database.ts";
import { ev, newRoom, startFakeHomeserver, v2 } from "../../test/support/fake-homeserver.ts";
import { SlidingClient } from "../../test/support/sliding.ts";
import { V3Client } from "../../test/support/v3.ts";

vi.setConfig({ testTimeout: 60_000 });

const CANARY = "canary-of-metrics";

async function serve(workers: string) {
  const [database, homeserver] = [await freshDatabase(), await startFakeHomeserver()];
  const directory = await mkdtemp(join(tmpdir(), "syncv3-metrics-"));
  const where = ["-server", homeserver.url, "-db", database.dsn, "-data", directory];
  const command = runCommand([...where, "-port", "127.0.0.1:0", "-prom", "127.0.0.1:0", "-workers", workers]);
  onTestFinished(async () => {
    command.signal("SIGTERM");
    expect((await command.ended).code).toBe(0);
    await homeserver.stop();
    await database.drop();
    await rm(directory, { recursive: true });
  });
  const urlOf = async (line: RegExp) => (await command.line(line)).trim().split(/ +/)[1] ?? "";
  const [url, metrics] = [await urlOf(/listening/), await urlOf(/^ *metrics/)];
  const token = homeserver.login(`@${CANARY}:test`);
  homeserver.queueSync(token, v2({ join: { [`!${CANARY}:test`]: { state: newRoom("@a:test"), timeline: [ev.message("@a:test", CANARY)] } } }));
  return { url, metrics, homeserver, client: new V3Client(() => url, `@${CANARY}:test`, "DEV", token) };
}

/** The sum over all label values. */
function valueOf(text: string, name: string, label = ""): number {
  const lines = text.split("\n").filter((line) => (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) && line.includes(label));
  return lines.reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}

test.each(["1", "3"])("with %s workers: requests, polls and stored data are counted, and no label names a user", async (workers) => {
  const { url, metrics, homeserver, client } = await serve(workers);
  for (let i = 0; i < 6; i += 1) await client.sync({});
  await homeserver.waitForPoll(client.token);
  homeserver.queueSync(
    client.token,
    v2({ join: { [`!${CANARY}:test`]: { timeline: [ev.message("@a:test", CANARY)], limited: true, prev_batch: "p" } } }),
  );
  await homeserver.waitForPoll(client.token);
  const phone = new SlidingClient(client, "v4");
  for (const connId of ["a", "b"]) await phone.sync({ connId, lists: { all: { ranges: [[0, 9]], limit: 1 } } });
  expect((await client.request("{")).status).toBe(400);
  expect((await fetch(`${url}/_matrix/client/versions`)).status).toBe(200);
  const response = await fetch(metrics);
  expect(response.headers.get("content-type")).toContain("text/plain");
  const text = await response.text();
  expect(valueOf(text, "syncv3_http_request_duration_seconds_count", 'face="v3",status="200"')).toBe(6);
  expect(valueOf(text, "syncv3_http_request_duration_seconds_count", 'status="400"')).toBe(1);
  expect(valueOf(text, "syncv3_http_request_duration_seconds_count", 'face="passed"')).toBe(1);
  expect(valueOf(text, "syncv3_http_requests_in_progress")).toBe(0);
  expect(valueOf(text, "syncv3_upstream_request_duration_seconds_count", 'endpoint="whoami",result="ok"')).toBeGreaterThan(0);
  expect(valueOf(text, "syncv3_ingested_responses_total", 'result="stored"')).toBeGreaterThan(0);
  expect(valueOf(text, "syncv3_ingested_gaps_total")).toBe(1);
  expect(valueOf(text, "syncv3_whole_rooms_total")).toBe(2);
  expect(valueOf(text, "syncv3_polled_accounts")).toBe(1);
  expect(valueOf(text, "syncv3_database_bytes")).toBeGreaterThan(1_000_000);
  expect(text).toContain("nodejs_eventloop_lag_seconds");
  expect(text).not.toContain(CANARY);
  expect(text).not.toContain(client.token);
  // The public address does not serve metrics.
  expect((await fetch(`${url}/metrics`)).status).toBe(404);
  expect((await fetch(metrics.replace("/metrics", "/"))).status).toBe(404);

  const own = [...new Set([...text.matchAll(/^# TYPE (syncv3_\w+)/gm)].map((match) => match[1] ?? ""))];
  const told = readFileSync(join(import.meta.dirname, "../../docs/OPERATIONS.md"), "utf8");
  expect(
    own.filter((name) => !told.includes(`\`${name}\``)),
    "docs/OPERATIONS.md has them all",
  ).toEqual([]);
  expect(
    [...new Set(told.match(/\bsyncv3_[a-z_]+(?=`)/g))].filter((name) => !own.includes(name)),
    "and no others",
  ).toEqual([]);
});
