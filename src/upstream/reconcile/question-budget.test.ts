import { expect, test } from "vitest";
import { QuestionBudget } from "./question-budget.ts";

const NEVER = new AbortController().signal;

/** A clock that sleeping moves on, and how many questions may be asked in `ms`. */
function budgetOf(perSecond: number) {
  const clock = { now: 0 };
  const sleep = async (ms: number) => void (clock.now += ms);
  const budget = new QuestionBudget({ perSecond, now: () => clock.now, sleep });
  const questionsIn = async (ms: number, processes: number) => {
    const end = clock.now + ms;
    let count = 0;
    for (; clock.now < end; count += 1) await budget.take(processes, NEVER); // oxlint-disable-line no-await-in-loop
    return count;
  };
  return { budget, clock, questionsIn };
}

test("T1: questions keep to the rate, shared by all processes, also after a pause", async () => {
  const { clock, questionsIn } = budgetOf(5);
  expect(await questionsIn(10_000, 1)).toBeLessThanOrEqual(51);
  expect(await questionsIn(10_000, 5)).toBeLessThanOrEqual(11);
  clock.now += 3_600_000;
  expect(await questionsIn(10_000, 1)).toBeLessThanOrEqual(51);
});

test("T1: each trouble halves the rate; it is whole again some minutes later", async () => {
  const { budget, clock, questionsIn } = budgetOf(8);
  await questionsIn(1000, 1);
  budget.troubled();
  budget.troubled();
  expect(await questionsIn(10_000, 1)).toBeLessThanOrEqual(22);
  for (let i = 0; i < 100; i += 1) budget.troubled();
  expect(await questionsIn(30_000, 1)).toBeLessThanOrEqual(3);
  clock.now += 9 * 60_000;
  expect(await questionsIn(10_000, 1)).toBeGreaterThanOrEqual(79);
});
