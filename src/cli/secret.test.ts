import { chmod, mkdtemp, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { beforeEach, expect, onTestFinished, test } from "vitest";

import { BadSecretFile, keptSecret } from "./secret.ts";

let directory = "";
beforeEach(async () => {
  const made = await mkdtemp(join(tmpdir(), "syncv3-secret-"));
  directory = join(made, "data");
  onTestFinished(() => rm(made, { recursive: true }));
});

test("a secret is generated once, and only its owner can read it", async () => {
  const first = await keptSecret(directory);
  expect(first).toMatchObject({ made: true, path: join(directory, "secret") });
  expect(first.secret).toMatch(/^[\w-]{43}$/);
  expect((await stat(first.path)).mode & 0o777).toBe(0o600);
  expect(await keptSecret(directory)).toEqual({ ...first, made: false });
});

test("processes that start together get the same secret and leave no other files", async () => {
  const all = await Promise.all(Array.from({ length: 8 }, () => keptSecret(directory)));
  expect(new Set(all.map((each) => each.secret)).size).toBe(1);
  expect(await readdir(directory)).toEqual(["secret"]);
});

test("a file that others can read, or that has no secret, is refused", async () => {
  const { path } = await keptSecret(directory);
  await chmod(path, 0o640);
  await expect(keptSecret(directory)).rejects.toThrow(`chmod 600 ${path}`);
  await writeFile(path, "\n");
  await chmod(path, 0o600);
  await expect(keptSecret(directory)).rejects.toThrow(BadSecretFile);
});
