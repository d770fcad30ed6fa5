import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { removeStaleSocket } from "./stale-socket.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "syncv3-socket-"));
});
afterEach(() => rm(directory, { recursive: true }));

async function listening(path: string) {
  const server = createServer();
  server.listen(path);
  await once(server, "listening");
  return server;
}

it("a killed server's socket is removed", async () => {
  const path = join(directory, "s");
  const server = await listening(path);
  // As a kill -9 leaves it: closing would remove the file under its own name.
  await rename(path, join(directory, "kept"));
  server.close();
  await once(server, "close");
  await rename(join(directory, "kept"), path);
  await removeStaleSocket(path);
  expect(existsSync(path)).toBe(false);
});

it("a running server's socket stays, and so does any other file; a missing file is no error", async () => {
  const path = join(directory, "s");
  const server = await listening(path);
  await removeStaleSocket(path);
  expect(existsSync(path)).toBe(true);
  server.close();
  const file = join(directory, "file");
  await writeFile(file, "x");
  await removeStaleSocket(file);
  expect(existsSync(file)).toBe(true);
  await removeStaleSocket(join(directory, "none"));
});
