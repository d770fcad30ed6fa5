import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { filterInSlices, Slices, sortInSlices } from "./slices.ts";

/** Always due: every step is a pause. */
class Eager extends Slices {
  pauses = 0;
  override get isDue(): boolean {
    return true;
  }
  override pause(): Promise<void> {
    this.pauses += 1;
    return super.pause();
  }
}

/** Keeps the thread busy, ms. */
function work(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

describe("N10: long work in slices", () => {
  it("N10: a slice is due after some milliseconds, and not at once", async () => {
    const slices = new Slices();
    const dueInFourSteps = () => [1, 2, 3, 4].some(() => slices.isDue);
    expect(dueInFourSteps()).toBe(false);
    work(20);
    expect(dueInFourSteps()).toBe(true);
    await slices.pause();
    expect(dueInFourSteps()).toBe(false);
  });

  it("N10: of many paused loops, one continues in a turn of the event loop", async () => {
    const order: string[] = [];
    let turn = 0;
    const ticking = { over: false };
    const tick = () => {
      turn += 1;
      if (!ticking.over) setImmediate(tick);
    };
    setImmediate(tick);
    await Promise.all(
      ["a", "b", "c"].map(async (name) => {
        const slices = new Slices();
        for (let step = 0; step < 3; step += 1) {
          await slices.pause();
          order.push(`${name} ${turn}`);
        }
      }),
    );
    ticking.over = true;
    const turns = order.map((entry) => entry.slice(2));
    expect(new Set(turns).size, order.join()).toBe(order.length);
    expect(order.map((entry) => entry[0]).join("")).toBe("abcabcabc");
  });

  it("N10: sorting and filtering in slices gives the same as at once, and is stable", async () => {
    const item = fc.record({ key: fc.nat(5), id: fc.nat() });
    await fc.assert(
      fc.asyncProperty(fc.array(item, { maxLength: 1500, size: "max" }), async (items) => {
        const compare = (a: { key: number }, b: { key: number }) => a.key - b.key;
        expect(await sortInSlices(items, compare, new Slices())).toEqual(items.toSorted(compare));
        expect(await filterInSlices(items, ({ key }) => key > 2, new Slices())).toEqual(items.filter(({ key }) => key > 2));
      }),
      { numRuns: 30 },
    );
  });

  it("N10: a long sort pauses between its steps", async () => {
    const slices = new Eager();
    const items = Array.from({ length: 600 }, (_, index) => (index * 7919) % 601);
    expect(await sortInSlices(items, (a, b) => a - b, slices)).toEqual(items.toSorted((a, b) => a - b));
    expect(slices.pauses).toBeGreaterThan(600);
  });
});
