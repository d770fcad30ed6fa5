/** Answers and what ruma says of them: which are worth recording, and what is made of them to be refused. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import type { Json } from "./events.ts";
import { hostileText } from "./hostile-text.ts";

export const RECORDING = join(import.meta.dirname, "../recordings/strict-answers.jsonl");

/** `verdict`: why ruma refuses the answer; null: it does not. */
export type Recorded = { readonly answer: string; readonly verdict: string | null };

export function readRecording(): Recorded[] {
  const lines = readFileSync(RECORDING, "utf8").split("\n");
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as Recorded);
}

const MOST = 150;
/** Characters of an answer. */
const LONGEST = 2000;
const SPOILT_OF_EACH = 3;

/** The shortest answers of each kind: those that hold something in a place where no shorter one does. */
export function sampleOf(answers: readonly string[]): string[] {
  const seen = new Set<string>();
  const sample: string[] = [];
  const short = answers.filter((answer) => answer.length <= LONGEST).toSorted((a, b) => a.length - b.length || (a < b ? -1 : 1));
  for (const answer of short) {
    const places = [...placesOf(JSON.parse(answer), "")];
    if (places.every((place) => seen.has(place)) || sample.length >= MOST) continue;
    for (const place of places) seen.add(place);
    sample.push(answer);
  }
  return sample;
}

/** Paths with their values' kinds; ids are all alike. */
function* placesOf(value: unknown, path: string): Generator<string> {
  yield `${path} ${value === null ? "null" : Array.isArray(value) ? "list" : typeof value}`;
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) yield* placesOf(inner, `${path}/${Array.isArray(value) || /^[!@$]/.test(key) ? "*" : key}`);
}

/** Each answer some times, with something wrong put in: always the same. */
export function spoilt(answers: readonly string[]): string[] {
  return answers.flatMap((answer, seed) =>
    fc.sample(hostileText(JSON.parse(answer) as Json, { most: 2 }), { numRuns: SPOILT_OF_EACH, seed: seed + 1 }),
  );
}
