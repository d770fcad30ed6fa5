/** The package as it would be published: packed, installed from the tarball, and started. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { freshDatabase } from "../support/database.ts";
import { newRoom, startFakeHomeserver, toDevice, v2 } from "../support/fake-homeserver.ts";
import { V3Client } from "../support/v3.ts";

const ROOT = join(import.meta.dirname, "../..");

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
  const args = ["-server", homeserver.url, "-db", database.dsn, "-data", join(directory, "data"), "-port", "127.0.0.1:0"];
  const server = spawn(process.execPath, [join(directory, "node_modules/.bin/syncv3"), ...args], {
    cwd: directory,
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void server.kill("SIGKILL"));
  let output = "";
  while (!output.includes("listening")) output += String((await once(server.stdout, "data"))[0]);
  const url = /listening +(http\S+)/.exec(output)?.[1] ?? "";
  const token = homeserver.login("@packed:test", "PHONE");
  homeserver.queueSync(token, v2({ join: { "!a:test": { state: newRoom("@packed:test") } }, to_device: [toDevice("@bob:test", { n: 1 })] }));
  const client = new V3Client(() => url, "@packed:test", "PHONE", token);
  const answer = await client.sync({ room_list: {}, to_device: {} });
  expect(answer["room_list"].count).toBe(1);
  expect(answer["to_device"].events).toHaveLength(1);
  server.kill("SIGTERM");
  expect((await once(server, "close"))[0]).toBe(0);
});
