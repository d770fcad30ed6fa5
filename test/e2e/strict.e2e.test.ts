/** N6: what is recorded of ruma's judgement is ruma's judgement. */

import { beforeAll, describe, expect, it } from "vitest";
import { cargoLack, CARGO_TIMEOUT_MS } from "../support/cargo-build.ts";
import { buildJudge, judgeAnswers } from "../support/ruma-judge.ts";
import { readRecording } from "../support/strict-recording.ts";

// It takes a compiler minutes: what ruma said is replayed by test/strict/recorded-answers.test.ts.
const isWanted = process.env["SYNCV3_JUDGE"] === "1";
const lack = isWanted ? cargoLack() : "SYNCV3_JUDGE=1 asks it";
if (lack !== undefined) process.stderr.write(`ruma is not asked about answers: ${lack}\n`);

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
