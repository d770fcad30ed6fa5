import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { DeviceNo } from "../wire/ids.ts";
import { AnswerMemory, type Holding } from "./answer-memory.ts";

const device = (n: number) => n as DeviceNo;

/** Whether a share is granted now: everything that is possible has happened. */
async function isGranted(growing: Promise<void>): Promise<boolean> {
  const waiting = Symbol("waiting");
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
  return (await Promise.race([growing, Promise.resolve(waiting)])) !== waiting;
}

describe("N12: memory of answers that are read in full", () => {
  it("N12: small answers always may be held, however many", async () => {
    const memory = new AnswerMemory({ small: 10, budget: 5 });
    const all = Array.from({ length: 100 }, () => memory.open(device(1)).grow(10));
    expect(await Promise.all(all)).toHaveLength(100);
  });

  it("N12: one large answer per device is held; the next is read on when it is released", async () => {
    const memory = new AnswerMemory({ small: 10, budget: 1000 });
    const [first, second, other] = [memory.open(device(1)), memory.open(device(1)), memory.open(device(2))];
    await first.grow(100);
    const waiting = second.grow(100);
    expect(await isGranted(waiting)).toBe(false);
    await other.grow(100);
    first.release();
    first.release();
    await waiting;
  });

  it("N12: large answers share a budget; one at a time may exceed it", async () => {
    const memory = new AnswerMemory({ small: 10, budget: 100 });
    const [a, b, c] = [memory.open(device(1)), memory.open(device(2)), memory.open(device(3))];
    await a.grow(90);
    await b.grow(90);
    const waiting = c.grow(90);
    expect(await isGranted(waiting)).toBe(false);
    await b.grow(500);
    b.release();
    await waiting;
  });

  it("N12: what is given up while it waits ends, and takes nothing", async () => {
    const memory = new AnswerMemory({ small: 10, budget: 1000 });
    const [first, second, third] = [memory.open(device(1)), memory.open(device(1)), memory.open(device(1))];
    await first.grow(100);
    const [given, waiting] = [second.grow(100), third.grow(100)];
    second.release();
    await expect(given).rejects.toThrow("given up");
    await expect(second.grow(1)).rejects.toThrow("given up");
    first.release();
    await waiting;
  });

  it("N12: in whatever order answers grow and end, all are passed on, and memory holds no more than the budget and one answer", async () => {
    const answer = fc.record({ device: fc.integer({ min: 1, max: 3 }), pieces: fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 6 }) });
    await fc.assert(
      fc.asyncProperty(fc.array(answer, { maxLength: 12 }), fc.array(fc.nat()), async (answers, order) => {
        const [small, budget] = [20, 100];
        const memory = new AnswerMemory({ small, budget });
        const held = new Map<Holding, number>();
        const ready: Holding[] = [];
        const all = answers.map(async (one) => {
          const holding = memory.open(device(one.device));
          let size = 0;
          for (const piece of one.pieces) {
            await holding.grow(piece);
            size += piece;
            held.set(holding, size > small ? size : 0);
            const sizes = [...held.values()];
            expect(sizes.reduce((sum, each) => sum + each, 0) - Math.max(0, ...sizes)).toBeLessThanOrEqual(budget);
          }
          ready.push(holding);
        });
        const progress = { isOver: false };
        const ended = Promise.all(all).then(() => (progress.isOver = true));
        for (let n = 0; !progress.isOver; n += 1) {
          await new Promise((resolve) => setImmediate(resolve));
          const [sent] = ready.splice((order[n % Math.max(1, order.length)] ?? 0) % Math.max(1, ready.length), 1);
          if (!sent) continue;
          held.delete(sent);
          sent.release();
        }
        await ended;
      }),
      { numRuns: 200 },
    );
  });
});
