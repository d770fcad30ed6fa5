/**
 * `SYNCV3_RECORD_ANSWERS=dir`: every answer of the unstable dialect that a test's client gets is written there, each once a process: food for
 * `npm run strict`.
 */

import { createHash } from "node:crypto";
import { appendFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";

const directory = process.env["SYNCV3_RECORD_ANSWERS"];
const seen = new Set<string>();

/** @param body one JSON document, without line breaks */
export function recordAnswer(body: string): void {
  if (directory === undefined || directory === "") return;
  const hash = createHash("sha256").update(body).digest("base64");
  if (seen.has(hash)) return;
  seen.add(hash);
  mkdirSync(directory, { recursive: true });
  appendFileSync(join(directory, `${process.pid}.jsonl`), `${body}\n`);
}
