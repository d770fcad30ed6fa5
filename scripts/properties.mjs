/** `npm run properties`: property tests with other inputs, one seed after another. */

import { spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync, globSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { ROOT } from "./install.mjs";

const HELP = `npm run properties -- [options] [part of a test file's name ...]

\`npm test\` tries the same inputs in every run. This command runs the property tests with other inputs: one seed after another. For a seed that
fails it keeps what vitest printed, in .cache/properties/, and goes on. What it finds is mended and becomes a test with fixed inputs.

  --minutes N   no new seed after that (default 10)
  --seed N      the first one (default: by the clock; it is printed)

  --help
`;

const options = { minutes: { type: "string" }, seed: { type: "string" }, help: { type: "boolean" } };
const { values, positionals } = parseArgs({ options, allowPositionals: true });
if (values.help) process.stdout.write(HELP);
else process.exitCode = tryAll(number("minutes", 10), number("seed", Date.now() % 1_000_000)) ? 0 : 1;

/** Whether nothing failed. */
function tryAll(minutes, first) {
  const files = globSync("{src,test,packages}/**/*.test.ts", { cwd: ROOT, exclude: ["**/node_modules/**", "**/*.e2e.test.ts"] })
    .filter((file) => /fast-check|first-answers\.ts/.test(readFileSync(join(ROOT, file), "utf8")))
    .filter((file) => positionals.length === 0 || positionals.some((part) => file.includes(part)));
  if (files.length === 0) throw new Error(`no property test has ${positionals.join(" or ")} in its name`);
  const kept = join(ROOT, ".cache/properties");
  mkdirSync(kept, { recursive: true });
  const until = Date.now() + minutes * 60_000;
  const failed = [];
  let seed = first;
  for (; seed === first || Date.now() < until; seed += 1) {
    const env = { ...process.env, SYNCV3_TEST_SEED: String(seed), NO_COLOR: "1" };
    const args = ["run", "--project", "unit", "--project", "pg", ...files];
    const { status, stdout, stderr } = spawnSync(join(ROOT, "node_modules/.bin/vitest"), args, {
      cwd: ROOT,
      env,
      encoding: "utf8",
      maxBuffer: 2 ** 30,
    });
    console.log(`seed ${seed}: ${status === 0 ? "passed" : "FAILED"}`);
    if (status === 0) continue;
    failed.push(seed);
    writeFileSync(join(kept, `seed-${seed}.txt`), `${stdout}\n${stderr}`);
  }
  console.log(
    `${seed - first} seeds from ${first}, ${files.length} files: ${failed.length === 0 ? "all passed" : `failed with ${failed.join(", ")}; see ${kept}`}`,
  );
  return failed.length === 0;
}

function number(name, otherwise) {
  const value = Number(values[name] ?? otherwise);
  if (!Number.isFinite(value) || value < 0) throw new Error(`--${name}: a number is needed, not "${String(values[name])}"`);
  return value;
}
