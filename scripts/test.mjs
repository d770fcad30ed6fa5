/**
 * `npm test`: everything. Types, lint, import rules, unused code, format, then all tests. Plain JavaScript, for Node 18 and later.
 * `--static`: without the tests. Other arguments are vitest's, e.g. `npm test -- src/wire`.
 */

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { delimiter, join } from "node:path";

import { buildPageOnce, installOnce, ROOT } from "./install.mjs";

installOnce();

const REPORT = join(ROOT, ".cache/vitest.json");
const args = process.argv.slice(2);
// The tools begin with `#!/usr/bin/env node`, which must be the one of node_modules.
const env = { ...process.env, PATH: `${join(ROOT, "node_modules/.bin")}${delimiter}${process.env.PATH}` };
const run = (file, ...rest) => spawnSync(file, rest, { cwd: ROOT, env, stdio: "inherit" }).status === 0;

const checks = [
  ["types", "tsc", "-p", "."],
  ["types of the page", "tsc", "-p", "page"],
  ["lint", "oxlint", "--type-aware", "--deny-warnings"],
  ["import rules", "depcruise", "--config", ".dependency-cruiser.mjs", "src", "test", "packages"],
  ["unused code", "knip"],
  ["format", "oxfmt", "--check", "."],
];
const failed = [];
for (const [name, ...command] of checks) {
  console.log(`== ${name}`);
  if (!run(...command)) failed.push(name);
}

if (args.includes("--static")) finish();
buildPageOnce();
mkdirSync(join(ROOT, ".cache"), { recursive: true });
rmSync(REPORT, { force: true });
console.log("== tests");
const passed = run("vitest", "run", "--reporter=default", "--reporter=json", `--outputFile.json=${REPORT}`, ...args);
if (!passed) failed.push("tests");
const counts = readCounts(passed);
finish(`${counts.passed} passed, ${counts.failed} failed`);

function finish(lastLine) {
  if (failed.length > 0) console.log(`Not in order: ${failed.join(", ")}`);
  if (lastLine !== undefined) console.log(lastLine);
  process.exit(failed.length > 0 ? 1 : 0);
}

/**
 * From vitest's own report. A file that could not even be loaded has no tests in it and is one failure, and so is a run
 * that failed without any test of it failing.
 */
function readCounts(allPassed) {
  try {
    const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(REPORT, "utf8"));
    const unloaded = testResults.filter((file) => file.status === "failed" && !file.assertionResults.some((test) => test.status === "failed"));
    return { passed: numPassedTests, failed: Math.max(numFailedTests + unloaded.length, allPassed ? 0 : 1) };
  } catch {
    return { passed: 0, failed: 1 };
  }
}
