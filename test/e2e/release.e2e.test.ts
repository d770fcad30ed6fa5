/** scripts/release.mjs in a clone: what it refuses, and what it makes. */

import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
let clone = "";
const NAMES = { GIT_AUTHOR_NAME: "test", GIT_AUTHOR_EMAIL: "test@example.org", GIT_COMMITTER_NAME: "test", GIT_COMMITTER_EMAIL: "test@example.org" };
const run = (file: string, ...args: string[]) => spawnSync(file, args, { cwd: clone, encoding: "utf8", env: { ...process.env, ...NAMES } });
const release = (...args: string[]) => run(process.execPath, "scripts/release.mjs", ...args);

beforeAll(async () => {
  clone = await mkdtemp(join(tmpdir(), "syncv3-release-"));
  run("git", "clone", "--quiet", "--no-hardlinks", ROOT, ".");
  // What stands here now, also where it is not committed.
  for (const path of [
    "package.json",
    "package-lock.json",
    "scripts/release.mjs",
    "scripts/install.mjs",
    "scripts/build-page.mjs",
    "CHANGELOG.md",
    ".gitignore",
  ]) {
    writeFileSync(join(clone, path), readFileSync(join(ROOT, path)));
  }
  symlinkSync(join(ROOT, "node_modules"), join(clone, "node_modules"));
  run("git", "add", "--all");
  run("git", "commit", "--quiet", "--message", "as it stands");
}, 60_000);
afterAll(() => rm(clone, { recursive: true, force: true }));

test("it refuses what is no version, no release, or not committed", () => {
  expect(release("--help")).toMatchObject({ status: 0 });
  expect(release()).toMatchObject({ status: 2 });
  expect(release("one")).toMatchObject({ status: 1, stderr: expect.stringContaining('"one" is not a version') as string });
  expect(release("9.9.9")).toMatchObject({ status: 1, stderr: expect.stringContaining('CHANGELOG.md has no "## [9.9.9] - unreleased"') as string });
  writeFileSync(join(clone, "CHANGELOG.md"), `${readFileSync(join(clone, "CHANGELOG.md"), "utf8")}\n`);
  expect(release("0.1.0")).toMatchObject({ status: 1, stderr: expect.stringContaining("not committed") as string });
  run("git", "checkout", "--quiet", "CHANGELOG.md");
});

test("a release: packages, checksums, a dated changelog, a tag; and it is made once", { timeout: 120_000 }, async () => {
  const { status, stdout, stderr } = release("0.1.0", "--no-test");
  expect(status, stdout + stderr).toBe(0);
  expect((await readdir(join(clone, "release"))).toSorted()).toEqual([
    "SHA256SUMS",
    "syncv3-0.1.0.cdx.json",
    "syncv3-0.1.0.tgz",
    "syncv3-client-0.1.0.tgz",
  ]);
  expect(spawnSync("sha256sum", ["--check", "--quiet", "SHA256SUMS"], { cwd: join(clone, "release") }).status).toBe(0);
  expect(readFileSync(join(clone, "CHANGELOG.md"), "utf8")).toMatch(/^## \[0\.1\.0\] - \d{4}-\d\d-\d\d$/m);
  expect(run("git", "tag", "--points-at", "HEAD").stdout).toBe("v0.1.0\n");
  expect(run("git", "status", "--porcelain").stdout).toBe("");
  expect(existsSync(join(clone, "dist/page/index.html"))).toBe(true);
  expect(release("0.1.0", "--no-test")).toMatchObject({ status: 1, stderr: expect.stringContaining("v0.1.0 is there already") as string });
});
