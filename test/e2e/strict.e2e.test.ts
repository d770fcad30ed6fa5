/** N6: what is recorded of ruma's judgement is ruma's judgement. */

import { beforeAll, describe, expect, it } from "vitest";
import { CARGO_TIMEOUT_MS, rustLack } from "../support/cargo-build.ts";
import { buildJudge, judgeAnswers } from "../support/ruma-judge.ts";
import { readRecording } from "../support/strict-recording.ts";

// A compiler takes minutes: what ruma said is replayed by test/strict/recorded-answers.test.ts.
const lack = rustLack();

describe.skipIf(lack !== undefined)("N6: ruma", () => {
  let program: string;
  beforeAll(async () => {
    program = await buildJudge((line) => process.stderr.write(`${line}\n`));
  }, CARGO_TIMEOUT_MS);

  it("N6: says of the recorded answers what was recorded", async () => {
    const recorded = readRecording();
    const verdicts = await judgeAnswers(
      program,
      recorded.map(({ answer }) => answer),
    );
    expect(verdicts).toEqual(recorded.map(({ verdict }) => verdict));
  });
});
