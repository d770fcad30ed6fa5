/** The README's examples, run as they stand there, in front of a server with an account. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, onTestFinished, test } from "vitest";
import { ev, newRoom, type RoomParts, v2 } from "../../../test/support/fake-homeserver.ts";
import { startV3, type V3Fixture } from "../../../test/support/v3.ts";

const README = await readFile(join(import.meta.dirname, "../README.md"), "utf8");
const EXAMPLES = [...README.matchAll(/^```ts\n(.*?)^```/gms)].map((match) => match[1] ?? "");
const LIBRARY = pathToFileURL(join(import.meta.dirname, "../src/index.ts")).href;
/** What each says, in the README's order. */
const SAID = [
  /a session begins: 3 rooms\n(!room\d:test Room \d\n){3}/,
  /^3\n$/,
  /^!room1:test \S+ m\.room\.message\n$/,
  /^(!room\d:test Room \d 1\n){3}$/,
  /^(\S+\n){2}$/,
  /^401 M_UNKNOWN_TOKEN\n$/,
  /^\S+\nstopped\n$/,
];

let t: V3Fixture;
let token = "";
beforeAll(async () => {
  t = await startV3({ workers: 1 });
  const me = "@reader:test";
  const room = (n: number) =>
    [`!room${n}:test`, { state: [...newRoom(me), ev.name(me, `Room ${n}`)], timeline: [ev.message(me)] }] satisfies [string, RoomParts];
  const client = t.login(me, "PHONE", v2({ join: Object.fromEntries([1, 2, 3].map(room)) }));
  await client.sync();
  ({ token } = client);
});
afterAll(() => t.stop());

test("each example is there, and no other", () => {
  expect(EXAMPLES).toHaveLength(SAID.length);
});

test.each(EXAMPLES.map((code, i) => [i, code] as const))("example %i runs, and says what it should", async (i, code) => {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-readme-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const given = { baseUrl: t.url, accessToken: token, file: join(directory, "kept.json") };
  const program = join(directory, "example.mts");
  const names = Object.entries(given).map(([name, value]) => `const ${name} = ${JSON.stringify(value)};\n`);
  // An example with a token of its own says so.
  await writeFile(program, `${names.join("")}${code.replace('"@syncv3/client"', JSON.stringify(LIBRARY))}`);
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", program]);
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const) child[name].on("data", (chunk: Buffer) => void (output[name] += chunk.toString()));
  // A feed begins with what comes after its first request.
  const talk = code.includes(" feed(")
    ? setInterval(() => t.hs.queueSync(token, v2({ join: { "!room1:test": { timeline: [ev.message("@reader:test")] } } })), 200)
    : null;
  const [exitCode] = (await once(child, "close")) as [number];
  if (talk) clearInterval(talk);
  expect({ exitCode, stderr: output.stderr }).toEqual({ exitCode: 0, stderr: "" });
  expect(output.stdout).toMatch(SAID[i] ?? "");
});
