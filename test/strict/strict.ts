/**
 * `npm run strict`: runs tests, and has ruma judge every answer of the unstable dialect that they got.
 *
 *     npm run strict                          # test/sliding and test/strict
 *     npm run strict -- test/sliding/lists    # others
 *     npm run strict -- --record              # and writes test/recordings/strict-answers.jsonl, which CI replays without a Rust compiler
 *
 * Exit code 1 where ruma refuses an answer, or this project's own checker (test/support/strict-answer.ts) sees one otherwise than ruma.
 */

import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildJudge, judgeAnswers } from "../support/ruma-judge.ts";
import { strictFault, UNSTABLE_PATH } from "../support/strict-answer.ts";
import { RECORDING, type Recorded, sampleOf, spoilt } from "../support/strict-recording.ts";

const ROOT = join(import.meta.dirname, "../..");
const DIRECTORY = join(ROOT, ".cache/strict-answers");

const say = (line: string) => void process.stdout.write(`${line}\n`);

function answersOf(tests: readonly string[]): string[] {
  rmSync(DIRECTORY, { recursive: true, force: true });
  mkdirSync(DIRECTORY, { recursive: true });
  const env = { ...process.env, SYNCV3_RECORD_ANSWERS: DIRECTORY };
  const { status } = spawnSync(join(ROOT, "node_modules/.bin/vitest"), ["run", "--project", "pg", ...tests], { cwd: ROOT, env, stdio: "inherit" });
  if (status !== 0) say("Some tests failed; the answers that they got are judged all the same.");
  const lines = readdirSync(DIRECTORY).flatMap((file) => readFileSync(join(DIRECTORY, file), "utf8").split("\n"));
  return [...new Set(lines.filter((line) => line !== ""))];
}

/** Says what ruma refuses and where the checker disagrees; how many there are. */
function faults(answers: readonly string[], verdicts: readonly (string | null)[], mayBeRefused: boolean): number {
  let count = 0;
  for (const [index, answer] of answers.entries()) {
    const [ruma, own] = [verdicts[index] ?? null, strictFault(UNSTABLE_PATH, answer)];
    if ((ruma === null) === (own === null) && (mayBeRefused || ruma === null)) continue;
    count += 1;
    if (count <= 20) say(`ruma: ${ruma ?? "fine"}; checker: ${own ?? "fine"}\n  ${answer.slice(0, 2000)}`);
  }
  return count;
}

async function main(args: readonly string[]): Promise<number> {
  const tests = args.filter((arg) => arg !== "--record");
  const answers = answersOf(tests.length > 0 ? tests : ["test/sliding", "test/strict"]);
  const program = await buildJudge(say);
  const wrong = faults(answers, await judgeAnswers(program, answers), false);
  say(`${answers.length} answers, of which ${wrong} are refused, or judged otherwise by the checker`);
  const sample = sampleOf(answers);
  const broken = spoilt(sample);
  const verdicts = await judgeAnswers(program, broken);
  const differing = faults(broken, verdicts, true);
  say(
    `${broken.length} answers with something wrong put in, ${verdicts.filter((one) => one !== null).length} refused; the checker differs on ${differing}`,
  );
  if (args.includes("--record")) {
    const recorded = [
      ...sample.map((answer): Recorded => ({ answer, verdict: null })),
      ...broken.map((answer, at) => ({ answer, verdict: verdicts[at] ?? null })),
    ];
    writeFileSync(RECORDING, recorded.map((one) => `${JSON.stringify(one)}\n`).join(""));
    say(`${recorded.length} recorded in ${RECORDING}`);
  }
  return wrong + differing > 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
