import { describe, expect, it } from "vitest";
import { Gathered } from "./gathered.ts";

/** Runs that end on command. */
function controlled(options: ConstructorParameters<typeof Gathered<string, string>>[1] = {}) {
  const runs: { readonly asks: readonly string[]; end(error?: Error): void }[] = [];
  const started: (() => void)[] = [];
  const gathered = new Gathered<string, string>(
    (asks) =>
      new Promise((resolve, reject) => {
        runs.push({ asks, end: (error) => (error ? reject(error) : resolve(asks.map((ask) => ask.toUpperCase()))) });
        for (const notify of started.splice(0)) notify();
      }),
    options,
  );
  const run = async (n: number) => {
    while (!runs[n]) await new Promise<void>((resolve) => started.push(resolve));
    return runs[n];
  };
  return { gathered, runs, run };
}

describe("gathered work", () => {
  it("requests made in one turn run together, and each gets its answer", async () => {
    const { gathered, run } = controlled();
    const answers = Promise.all(["a", "b"].map((ask) => gathered.ask(ask)));
    (await run(0)).end();
    expect(await answers).toEqual(["A", "B"]);
  });

  it("requests made during a run go into the next one, up to its limit", async () => {
    const { gathered, run, runs } = controlled({ most: 2 });
    const first = gathered.ask("a");
    const one = await run(0);
    const rest = Promise.all(["b", "c", "d"].map((ask) => gathered.ask(ask)));
    expect(runs).toHaveLength(1);
    one.end();
    (await run(1)).end();
    (await run(2)).end();
    expect([await first, await rest]).toEqual(["A", ["B", "C", "D"]]);
    expect(runs.map(({ asks }) => asks)).toEqual([["a"], ["b", "c"], ["d"]]);
  });

  it("there are as many runs at once as lanes", async () => {
    const { gathered, run } = controlled({ lanes: 2 });
    const a = gathered.ask("a");
    const one = await run(0);
    const b = gathered.ask("b");
    (await run(1)).end();
    expect(await b).toBe("B");
    one.end();
    expect(await a).toBe("A");
  });

  it("two requests with one key never share a run", async () => {
    const { gathered, run, runs } = controlled({ keyOf: (ask) => ask });
    const answers = Promise.all(["a", "a", "b"].map((ask) => gathered.ask(ask)));
    (await run(0)).end();
    (await run(1)).end();
    expect(await answers).toEqual(["A", "A", "B"]);
    expect(runs.map(({ asks }) => asks)).toEqual([["a", "b"], ["a"]]);
  });

  it("after a failed run each request runs alone, so that one request's failure does not fail the others", async () => {
    const { gathered, run, runs } = controlled();
    const answers = Promise.allSettled(["good", "bad"].map((ask) => gathered.ask(ask)));
    (await run(0)).end(new Error("together"));
    (await run(1)).end();
    (await run(2)).end(new Error("alone"));
    expect(await answers).toMatchObject([{ value: "GOOD" }, { reason: { message: "alone" } }]);
    expect(runs.map(({ asks }) => asks)).toEqual([["good", "bad"], ["good"], ["bad"]]);
  });
});
