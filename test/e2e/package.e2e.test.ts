/** The package as it would be published: packed, installed from the tarball, and started. */

import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { freshDatabase } from "../support/database.ts";
import { newRoom, startFakeHomeserver, toDevice, v2 } from "../support/fake-homeserver.ts";
import { V3Client } from "../support/v3.ts";

const ROOT = join(import.meta.dirname, "../..");

const PROGRAM = `
import { V3Session } from "@syncv3/client";
const session = await V3Session.open({ baseUrl: process.argv[2]!, accessToken: process.argv[3]! });
session.ask({ room_list: {} });
for await (const { answer } of session.answers()) {
  console.log(answer.room_list!.count, "room");
  break;
}
`;

async function npm(cwd: string, ...args: string[]): Promise<string> {
  const child = spawn("npm", args, { cwd, env: { ...process.env, NODE_ENV: "production" } });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => void (output += chunk.toString()));
  const [code] = (await once(child, "close")) as [number];
  expect(code, output).toBe(0);
  return output;
}

test("npm pack, npm install, npx syncv3: it serves", { timeout: 240_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-package-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  await npm(ROOT, "pack", "--pack-destination", directory);
  const [tarball = ""] = (await readdir(directory)).filter((name) => name.endsWith(".tgz"));
  await npm(directory, "init", "-y");
  await npm(directory, "install", "--no-audit", "--no-fund", join(directory, tarball));
  const installed = await readdir(join(directory, "node_modules/syncv3"));
  expect(installed).toEqual(expect.arrayContaining(["bin", "dist", "sql", "package.json", "README.md", "LICENSE"]));
  expect(installed).not.toEqual(expect.arrayContaining(["src"]));
  expect(await npm(directory, "exec", "--offline", "syncv3", "--", "--version")).toMatch(/^\d+\.\d+\.\d+$/m);

  const homeserver = await startFakeHomeserver();
  onTestFinished(() => homeserver.stop());
  const database = await freshDatabase(true);
  onTestFinished(() => database.drop());
  const args = [
    "-server",
    homeserver.url,
    "-db",
    database.dsn,
    "-data",
    join(directory, "data"),
    "-port",
    "127.0.0.1:0",
    "-client-port",
    "127.0.0.1:0",
  ];
  const server = spawn(process.execPath, [join(directory, "node_modules/.bin/syncv3"), ...args], {
    cwd: directory,
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void server.kill("SIGKILL"));
  let output = "";
  while (!output.includes("listening")) output += String((await once(server.stdout, "data"))[0]);
  const url = /listening +(http\S+)/.exec(output)?.[1] ?? "";
  const page = await (await fetch(/page +(http\S+)/.exec(output)?.[1] ?? "")).text();
  const [, script = ""] = /src="([^"]+)"/.exec(page) ?? [];
  expect((await fetch(new URL(script, /page +(http\S+)/.exec(output)?.[1]))).status).toBe(200);
  const token = homeserver.login("@packed:test", "PHONE");
  homeserver.queueSync(token, v2({ join: { "!a:test": { state: newRoom("@packed:test") } }, to_device: [toDevice("@bob:test", { n: 1 })] }));
  const client = new V3Client(() => url, "@packed:test", "PHONE", token);
  const answer = await client.sync({ room_list: {}, to_device: {} });
  expect(answer["room_list"].count).toBe(1);
  expect(answer["to_device"].events).toHaveLength(1);

  // The client library, packed and installed beside it, in a program of plain JavaScript.
  await npm(ROOT, "pack", "--workspace", "@syncv3/client", "--pack-destination", directory);
  const library = (await readdir(directory)).find((name) => name.startsWith("syncv3-client-")) ?? "";
  await npm(directory, "install", "--no-audit", "--no-fund", join(directory, library));
  await writeFile(join(directory, "typed.mts"), `${PROGRAM}const wrong: number = session.since;\n`);
  const options = ["--noEmit", "--strict", "--skipLibCheck", "false", "--module", "nodenext", "--lib", "es2024,dom", "--types", "node"];
  const types = spawnSync(join(ROOT, "node_modules/.bin/tsc"), [...options, "--typeRoots", join(ROOT, "node_modules/@types"), "typed.mts"], {
    cwd: directory,
  });
  expect(types.stdout.toString()).toMatch(/^\S+: error TS2322: Type 'string \| null' is not assignable to type 'number'[^\n]*\n[^\n]*\n$/);
  await writeFile(join(directory, "program.mjs"), PROGRAM.replaceAll("!", ""));
  const program = spawn(process.execPath, [join(directory, "program.mjs"), url, token], { stdio: ["ignore", "pipe", "inherit"] });
  let said = "";
  program.stdout.on("data", (chunk: Buffer) => void (said += chunk.toString()));
  expect([(await once(program, "close"))[0], said]).toEqual([0, "1 room\n"]);

  server.kill("SIGTERM");
  expect((await once(server, "close"))[0]).toBe(0);
});
