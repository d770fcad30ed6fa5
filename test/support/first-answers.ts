/** What is kept of rooms in memory shows nowhere: a server answers as one that has just started does. */

import fc from "fast-check";
import { expect } from "vitest";
import type { V3Client, V3Fixture } from "./v3.ts";
import { anyOperation, joins, type Operation, RandomWorld } from "./random-world.ts";

const ROOMS = 3;
let count = 0;

/** @param askAs makes what a client asks, each time as if for the first time */
export async function expectAnswersAsIfJustStarted(t: V3Fixture, askAs: (account: V3Client) => () => Promise<unknown>): Promise<void> {
  const play = async (steps: readonly (readonly Operation[])[]): Promise<void> => {
    count += 1;
    const world = new RandomWorld(`@kept${count}:test`, ROOMS);
    const account = t.login(world.me, "PHONE", world.respond([joins(0)]));
    const ask = askAs(account);
    for (const [index, operations] of steps.entries()) {
      await ask();
      // Of answers that change nothing only the first is stored at once, so only until a restart the newest token is an older one.
      const change: Operation = { kind: "global_data", room: 0, who: 0, value: index };
      await t.deliver(account, world.respond([...operations, change]));
    }
    await ask();
    const kept = withoutTime(await ask());
    await t.restart();
    expect(kept).toEqual(withoutTime(await ask()));
  };
  let last = Promise.resolve();
  const steps = fc.array(fc.array(anyOperation(7), { maxLength: 4 }), { minLength: 1, maxLength: 6 });
  const runs = fc.asyncProperty(steps, (chosen) => {
    const run = play(chosen);
    last = run.catch(() => {});
    return run;
  });
  await fc.assert(runs, { numRuns: 8 });
  // A run that was interrupted goes on by itself, and restarts the server: the next test must not meet that.
  await last;
}

/** Events grow older from one answer to the next, and each answer has a token of its own. */
function withoutTime(answers: unknown): unknown {
  const timed = new Set(["pos", "age", "next", "msc4354_sticky_duration_ttl_ms"]);
  return JSON.parse(JSON.stringify(answers), (key: string, value: unknown) => (timed.has(key) ? "differs" : value));
}
