/** N6: the checker that every answer of every test goes through says what ruma said (recorded by `npm run strict -- --record`). */

import { expect, it } from "vitest";
import { strictFault, UNSTABLE_PATH } from "../support/strict-answer.ts";
import { readRecording } from "../support/strict-recording.ts";

const recorded = readRecording();

it("N6: the strict checker and ruma agree on recorded answers", () => {
  const differing = recorded.filter(({ answer, verdict }) => (strictFault(UNSTABLE_PATH, answer) === null) !== (verdict === null));
  expect(differing).toEqual([]);
});

it("N6: the recording has answers of all kinds, and some that ruma refuses", () => {
  const refused = recorded.filter(({ verdict }) => verdict !== null);
  const fine = recorded.filter(({ verdict }) => verdict === null);
  expect([refused.length >= 100, fine.length >= 100]).toEqual([true, true]);
  for (const part of [
    "rooms",
    "lists",
    "heroes",
    "invite_state",
    "timeline",
    "required_state",
    "e2ee",
    "to_device",
    "receipts",
    "typing",
    "account_data",
  ])
    expect(
      fine.some(({ answer }) => answer.includes(`"${part}":`)),
      part,
    ).toBe(true);
});
