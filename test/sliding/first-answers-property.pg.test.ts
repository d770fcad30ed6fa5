/** What is kept of rooms in memory shows nowhere: a server tells a new connection what one that has just started tells it. */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answer, type Ask, DIALECTS, type DialectName, SlidingClient } from "../support/sliding.ts";
import { anyOperation, type Operation, World } from "../support/v2-world.ts";
import { startV3, type V3Fixture } from "../support/v3.ts";

let t: V3Fixture;
let count = 0;
beforeAll(async () => {
  t = await startV3();
});
afterAll(() => t.stop());

const ROOMS = 3;
const STATE = ["m.room.name", "m.room.topic", "m.room.power_levels"].map((type) => [type, ""] as const);
const ASKS: readonly Ask[] = [
  { lists: { all: { limit: 1, state: [...STATE, ["m.room.member", "$LAZY"], ["m.room.member", "$ME"]] } }, ext: { receipts: { enabled: true } } },
  { lists: { all: { limit: 5, state: [["*", "*"]] } } },
];

const firstAnswers = (client: SlidingClient): Promise<Answer[]> => Promise.all(ASKS.map((ask, i) => client.sync({ ...ask, connId: `c${i}` })));

/** Events grow older from one answer to the next. */
function withoutTime(answers: readonly Answer[]): unknown {
  return JSON.parse(JSON.stringify(answers), (key: string, value: unknown) => (key === "pos" || key === "age" ? undefined : value));
}

async function play(dialect: DialectName, steps: readonly (readonly Operation[])[]): Promise<void> {
  count += 1;
  const world = new World(`@kept${count}:test`, ROOMS);
  const account = t.login(world.me, "PHONE", world.respond([{ kind: "join", room: 0, who: 0, value: 0 }]));
  const client = new SlidingClient(account, dialect);
  for (const operations of steps) {
    await firstAnswers(client);
    await t.deliver(account, world.respond(operations));
  }
  await firstAnswers(client);
  const kept = withoutTime(await firstAnswers(client));
  await t.restart();
  expect(kept).toEqual(withoutTime(await firstAnswers(client)));
}

describe.each(DIALECTS)("first answers (%s)", (dialect) => {
  it("M5 M22: are the same whether the server has told these rooms before or has just started", async () => {
    const runs = fc.asyncProperty(fc.array(fc.array(anyOperation(7), { maxLength: 4 }), { minLength: 1, maxLength: 6 }), (steps) =>
      play(dialect, steps),
    );
    await fc.assert(runs, { numRuns: 15, interruptAfterTimeLimit: 12_000, markInterruptAsFailure: false });
  });
});
