/** schemathesis against `/openapi.json`: whatever is asked, no 5xx and nothing that the document does not say. */

import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { ev, newRoom, v2 } from "../support/fake-homeserver.ts";
import { installPackage } from "../support/python-package.ts";
import { startV3, type V3Client, type V3Fixture } from "../support/v3.ts";

const VERSION = "4.32.5";
/** Cases of each endpoint; many more by hand: `SYNCV3_FUZZ=5000 npm test -- --project e2e openapi`. */
const EXAMPLES = Number(process.env["SYNCV3_FUZZ"] ?? 50);
const CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance";

let t: V3Fixture;
let client: V3Client;
let python = "";
beforeAll(async () => {
  python = await installPackage("schemathesis", VERSION, (line) => process.stderr.write(`${line}\n`));
  t = await startV3({ workers: 1 });
  client = t.login("@fuzz:test", "PHONE", v2({ join: { "!a:test": { state: newRoom("@fuzz:test"), timeline: [ev.message("@bob:test")] } } }));
  await client.sync({});
}, 300_000);
afterAll(() => t.stop());

test("the document names our endpoints, and is served without a token", async () => {
  const response = await fetch(`${t.url}/openapi.json`);
  const document = (await response.json()) as { openapi: string; paths: Record<string, object> };
  expect(document.openapi).toBe("3.1.0");
  expect(Object.keys(document.paths)).toEqual([
    "/_matrix/client/v3/sync",
    "/_matrix/client/unstable/syncv3/sessions",
    "/_matrix/client/unstable/syncv3/sessions/{id}",
    "/_matrix/client/unstable/syncv3/account",
    "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
    "/_matrix/client/v4/sync",
    "/health/live",
    "/health/ready",
    "/openapi.json",
  ]);
});

test("no 5xx and no undocumented answer", { timeout: 60_000 + EXAMPLES * 1000 }, async () => {
  const { code, output } = await schemathesis(EXAMPLES);
  const cases = /(\d+) generated/.exec(output)?.[1] ?? /Test cases:\s+(\d+)/.exec(output)?.[1];
  process.stdout.write(`schemathesis: ${cases ?? "?"} cases\n`);
  expect(code, output.slice(-6000)).toBe(0);
  // It did get through to the sync itself.
  expect(await t.sql`select from sessions`).not.toHaveLength(0);
});

const BRIEF = { type: "integer", minimum: 0, maximum: 20 };
/** In a body's schema, which may allow null. */
const brief = (schema: unknown) => (JSON.stringify(schema).includes("null") ? { anyOf: [BRIEF, { type: "null" }] } : BRIEF);
const isTimeout = (value: unknown): value is object => typeof value === "object" && value !== null && "name" in value && value.name === "timeout";

async function schemathesis(examples: number): Promise<{ code: number | null; output: string }> {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-schemathesis-"));
  const file = join(directory, "openapi.json");
  // As served, but that nobody asks to wait for long.
  const document = await (await fetch(`${t.url}/openapi.json`)).text();
  await writeFile(
    file,
    JSON.stringify(
      JSON.parse(document, (key, value: unknown) => (key === "timeout" ? brief(value) : isTimeout(value) ? { ...value, schema: BRIEF } : value)),
    ),
  );
  const args = ["-m", "schemathesis.cli", "run", file, "--url", t.url, "--checks", CHECKS, "--max-examples", String(examples)];
  // With the seed 1, schemathesis is never done with making up requests.
  const quiet = ["--phases", "examples,coverage,fuzzing", "--seed", "2", "--no-color", "--header", `Authorization: Bearer ${client.token}`];
  const child = spawn(python, [...args, ...quiet, "--request-timeout", "20", "--suppress-health-check", "all"], { cwd: directory });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => void (output += chunk.toString()));
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  await rm(directory, { recursive: true, force: true });
  return { code, output };
}
