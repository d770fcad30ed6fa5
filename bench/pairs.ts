/**
 * `node bench/pairs.ts CHECKOUT [--pairs N] -- BENCH ARGS`: the same benchmark here and in another checkout of this project, in turns, so that
 * both see the machine's good and bad minutes. For each figure the ratio of here to there: the median of the pairs, and its 95 % interval.
 *
 *     git worktree add ../before v0.1.0 && (cd ../before && npm ci)
 *     node bench/pairs.ts ../before -- throughput.ts --api v3 --clients 10 --seconds 3
 */

import { spawnSync } from "node:child_process";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { percentile } from "./stats.ts";

const USAGE = "node bench/pairs.ts CHECKOUT [--pairs N] -- BENCH ARGS";
const { values, positionals } = parseArgs({ allowPositionals: true, options: { pairs: { type: "string", default: "7" } } });
const [other, bench, ...args] = positionals;
const pairs = Number(values.pairs);
if (other === undefined || bench === undefined || !(pairs >= 1)) {
  process.stderr.write(`${USAGE}\n`);
  process.exit(2);
}

/** A figure with the words before it, e.g. `10 clients p50`. */
type Figure = { readonly name: string; readonly value: number; readonly unit: string };

/** The figures that a benchmark printed: numbers with a unit. */
function figuresOf(output: string): Figure[] {
  return output.split("\n").flatMap((line) => {
    const [, subject = ""] = /^([^:]*):/.exec(line) ?? [];
    return Array.from(
      line.matchAll(/([A-Za-z][A-Za-z0-9 ]*?)? ?(\d+(?:\.\d+)?) ?(ms|MB|events\/s|responses\/s|\/s)(?![a-z])/g),
      ([, words = "", value, unit = ""]) => ({
        name: `${subject} ${words}`.trim(),
        value: Number(value),
        unit,
      }),
    );
  });
}

function run(checkout: string, file: string): Figure[] {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(checkout, "bench", file), ...args], { cwd: checkout, encoding: "utf8" });
  if (status !== 0) throw new Error(`${file} in ${checkout} ended with ${String(status)}:\n${stderr.slice(-2000)}`);
  return figuresOf(stdout);
}

/** The 95 % interval of a median by ranks: with fewer than 6 pairs there is none, and it is all of them. */
function interval(ratios: readonly number[]): readonly [number, number] {
  const sorted = ratios.toSorted((a, b) => a - b);
  const n = sorted.length;
  // The chance that the median is below the rank-th smallest.
  let [rank, chance, binomial] = [0, 0, 0.5 ** n];
  for (; chance + binomial <= 0.025; rank += 1) {
    chance += binomial;
    binomial *= (n - rank) / (rank + 1);
  }
  const cut = Math.max(0, rank - 1);
  return [sorted[cut] ?? Number.NaN, sorted[n - 1 - cut] ?? Number.NaN];
}

const here = join(import.meta.dirname, "..");
const rounds: { readonly before: Figure[]; readonly after: Figure[] }[] = [];
for (let n = 0; n < pairs; n += 1) {
  // Each goes first every other time.
  const first = n % 2 === 0 ? run(resolve(other), bench) : null;
  const after = run(here, bench);
  rounds.push({ before: first ?? run(resolve(other), bench), after });
  process.stderr.write(`pair ${n + 1} of ${pairs}\n`);
}
process.stdout.write("| figure | there, median | here, median | here / there | 95 % interval |\n|---|---|---|---|---|\n");
for (const [index, { name, unit }] of (rounds[0]?.after ?? []).entries()) {
  const of = (pick: "before" | "after") => rounds.map((round) => round[pick][index]?.value ?? Number.NaN);
  const [before, after] = [of("before"), of("after")];
  const ratios = after.map((value, n) => value / (before[n] ?? Number.NaN));
  const [low, high] = interval(ratios);
  const cells = [percentile(before, 50), percentile(after, 50), percentile(ratios, 50).toFixed(3), `${low.toFixed(3)} to ${high.toFixed(3)}`];
  process.stdout.write(`| ${name}, ${unit} | ${cells.join(" | ")} |\n`);
}
