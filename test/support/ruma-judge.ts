/** What ruma says of answers of the unstable dialect: see `test/clients/ruma`. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { cargoBuild } from "./cargo-build.ts";

/** Builds it: in a minute the first time. */
export function buildJudge(say: (line: string) => void): Promise<string> {
  return cargoBuild("ruma", "ruma-judge", say);
}

/** Of each answer, which must have no line breaks, why ruma cannot read it; null: it can. */
export async function judgeAnswers(program: string, answers: readonly string[]): Promise<(string | null)[]> {
  const child = spawn(program, { stdio: ["pipe", "pipe", "inherit"] });
  const verdicts: (string | null)[] = [];
  const read = (async () => {
    for await (const line of createInterface({ input: child.stdout })) verdicts.push(JSON.parse(line) as string | null);
  })();
  const ended = once(child, "close");
  for (const answer of answers) if (!child.stdin.write(`${answer}\n`)) await once(child.stdin, "drain"); // oxlint-disable-line no-await-in-loop -- no more than it takes
  child.stdin.end();
  await Promise.all([read, ended]);
  if (verdicts.length !== answers.length) throw new Error(`ruma judged ${verdicts.length} of ${answers.length} answers`);
  return verdicts;
}
