import { expect, it } from "vitest";
import { CHECK, historyOf, OPERATION_NAMES } from "./operations.ts";
import { shrink } from "./shrink.ts";

it("I11: a seed makes the same history each time, and another seed another one", () => {
  const history = historyOf(7, 3, 10);
  expect(historyOf(7, 3, 10)).toEqual(history);
  expect(historyOf(8, 3, 10)).not.toEqual(history);
  expect(history.filter((step) => step === CHECK)).toHaveLength(3);
  expect(history.at(-1)).toBe(CHECK);
});

it("I11: every operation comes up in histories", () => {
  const kinds = new Set(Array.from({ length: 60 }, (_, seed) => historyOf(seed, 6, 14)).flatMap((steps) => steps.map(({ kind }) => kind)));
  expect(OPERATION_NAMES.filter((kind) => !kinds.has(kind))).toEqual([]);
});

it("I11: a list is cut down to those items that it needs", async () => {
  const items = Array.from({ length: 50 }, (_, i) => i);
  const needs = [3, 17, 44];
  let tries = 0;
  const still = async (shorter: readonly number[]) => {
    tries += 1;
    return needs.every((one) => shorter.includes(one));
  };
  expect(await shrink(items, still, Infinity)).toEqual(needs);
  expect(tries).toBeLessThan(150);
  expect(await shrink(items, still, 0)).toEqual(items);
});
