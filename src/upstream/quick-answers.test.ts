import { expect, test } from "vitest";
import { QuickAnswers } from "./quick-answers.ts";

test("the fourth empty long poll in a row that is answered at once is followed by a rest, which grows to a second", () => {
  const quick = new QuickAnswers();
  expect(Array.from({ length: 9 }, () => quick.restAfter(true, 5))).toEqual([0, 0, 0, 160, 320, 640, 1000, 1000, 1000]);
});

test.each([
  ["news, or a poll that did not wait", false, 5],
  ["an answer after a second", true, 1000],
] as const)("%s starts the count from scratch", (_, isEmptyLongPoll, ms) => {
  const quick = new QuickAnswers();
  for (let i = 0; i < 4; i += 1) quick.restAfter(true, 5);
  expect(quick.restAfter(isEmptyLongPoll, ms)).toBe(0);
  expect(quick.restAfter(true, 5)).toBe(0);
});
