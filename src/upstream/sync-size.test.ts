import { describe, expect, test } from "vitest";

import { SizeSteps } from "./sync-size.ts";
import { UpstreamError } from "./upstream-error.ts";

const tooLarge = new UpstreamError("too_large", "x");
const timedOut = new UpstreamError("timed_out", "x");
const gateway = new UpstreamError("rejected", "x", { status: 504 });
const MINUTE = 60_000;

describe("N4: how much a poll asks for", () => {
  test("less at once, down to the least; then a rest of 10 minutes that doubles up to 6 hours", () => {
    let now = 0;
    const steps = new SizeSteps(() => now);
    for (const minutes of [10, 20, 40, 80, 160, 320, 360, 360]) {
      const sizes = ["full", "short", "bare"].map((size) => [steps.size === size, steps.failed(tooLarge, true)]);
      expect(sizes).toEqual([
        [true, 0],
        [true, 0],
        [true, minutes * MINUTE],
      ]);
      now += minutes * MINUTE;
    }
  });

  test("a descent that succeeds is not repeated before the rest is over, unless a full poll has succeeded since", () => {
    let now = 0;
    const steps = new SizeSteps(() => now);
    const descend = () => [steps.failed(tooLarge, false), steps.failed(tooLarge, false), steps.size];
    expect(descend()).toEqual([0, 0, "bare"]);
    steps.succeeded();
    now += MINUTE;
    expect([steps.failed(tooLarge, false), steps.size]).toEqual([9 * MINUTE, "full"]);
    now += 9 * MINUTE;
    expect(descend()).toEqual([0, 0, "bare"]);
    steps.succeeded();
    steps.succeeded();
    expect(descend()).toEqual([0, 0, "bare"]);
  });

  test.each([timedOut, gateway])("a first sync that takes too long asks for less at once, a later poll the third time", (slow) => {
    expect(new SizeSteps(() => 0).failed(slow, true)).toBe(0);
    const steps = new SizeSteps(() => 0);
    expect([1, 2, 3].map(() => steps.failed(slow, false))).toEqual([null, null, 0]);
  });

  test.each([new Error("x"), new UpstreamError("unreachable", "x"), new UpstreamError("rejected", "x", { status: 500 })])(
    "another failure has nothing to do with it",
    (error) => {
      const steps = new SizeSteps(() => 0);
      expect(steps.failed(error, true)).toBeNull();
      expect(steps.size).toBe("full");
    },
  );
});
