/** A process that answers from the batches that it has just stored sends the same as one that reads the database. */

import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Answer, type Ask, DIALECTS, type DialectName, SlidingClient, STICKY_EVENTS } from "../support/sliding.ts";
import { anyOperation, joins, type Operation, RandomWorld } from "../support/random-world.ts";
import { startV3, V3Client, V3Fixture } from "../support/v3.ts";

let storing: V3Fixture;
let reading: V3Fixture;
let count = 0;
beforeAll(async () => {
  storing = await startV3();
  reading = new V3Fixture({ role: "api" }, { hs: storing.hs, database: storing.database });
  await reading.start();
});
afterAll(async () => {
  await reading.stopServer();
  await storing.stop();
});

const ROOMS = 3;
/** Longer than it takes for news to arrive; what ends no wait is sent with it. */
const WAIT_MS = 1500;
const NARROW = [["m.room.name", ""] as const, ["m.room.member", "$ME"] as const, ["m.room.member", "$LAZY"] as const];
const WIDE = [...NARROW, ["m.room.topic", ""] as const, ["m.room.member", "@bob:test"] as const];

type Step = { readonly operations: readonly Operation[]; readonly window: number; readonly limit: number; readonly wide: boolean };

const step: fc.Arbitrary<Step> = fc.record({
  operations: fc.array(anyOperation(7), { maxLength: 4 }),
  window: fc.integer({ min: 1, max: ROOMS }),
  limit: fc.integer({ min: 1, max: 4 }),
  wide: fc.boolean(),
});

function asked({ window, limit, wide }: Omit<Step, "operations">, connId: string, since?: string): Ask {
  const on = { enabled: true };
  return {
    connId,
    lists: { all: { ranges: [[0, window - 1]], limit, state: wide ? WIDE : NARROW } },
    ext: {
      account_data: on,
      receipts: on,
      typing: on,
      "org.matrix.msc4262.profiles": on,
      [STICKY_EVENTS]: { ...on, ...(since !== undefined && { since }) },
    },
  };
}

const CLOCKED: ReadonlySet<string> = new Set(["age", "pos", "msc4354_sticky_duration_ttl_ms"]);
const clockless = (key: string, value: unknown) => (CLOCKED.has(key) ? undefined : value);
const shown = (answer: Answer): unknown => JSON.parse(JSON.stringify(answer, clockless));
const isEmpty = ({ rooms, extensions }: Answer) => !/"(!|@|type\b)/.test(JSON.stringify([rooms, extensions]));

async function play(dialect: DialectName, steps: readonly Step[]): Promise<void> {
  count += 1;
  const world = new RandomWorld(`@handed${count}:test`, ROOMS);
  const account = storing.login(world.me, "PHONE", world.respond([joins(0)]));
  const here = new SlidingClient(account, dialect);
  const there = new SlidingClient(new V3Client(() => reading.url, account.userId, account.deviceId, account.token), dialect);
  let [last] = steps;
  if (!last) return;
  let since: string | undefined;
  const acknowledge = ({ extensions }: Answer) => (since = (extensions[STICKY_EVENTS] as { next_batch: string } | undefined)?.next_batch ?? since);
  let left = (await here.sync(asked(last, "here"))).pos;
  let right = (await there.sync(asked(last, "there"))).pos;
  for (const now of steps) {
    // Changes of the request are answered first, so that the answer after it is only about what happens.
    const [a, b] = [await here.sync(asked(now, "here", since), { pos: left }), await there.sync(asked(now, "there", since), { pos: right })];
    expect(shown(a)).toEqual(shown(b));
    acknowledge(a);
    const giveUp = new AbortController();
    const waiting = here.sync(asked(now, "here", since), { pos: a.pos, timeout: WAIT_MS, signal: giveUp.signal });
    waiting.catch(() => {});
    await storing.deliver(account, world.respond(now.operations));
    const sent = await there.sync(asked(now, "there", since), { pos: b.pos });
    if (isEmpty(sent)) giveUp.abort();
    else expect(shown(await waiting)).toEqual(shown(sent));
    left = isEmpty(sent) ? a.pos : (await waiting).pos;
    right = sent.pos;
    acknowledge(sent);
    last = now;
  }
}

describe.each(DIALECTS)("what was handed over (%s)", (dialect) => {
  it("M5 M22 M39 M43: a request that waits in the process that stored a batch is sent the same as one elsewhere", async () => {
    const runs = fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 10 }), (steps) => play(dialect, steps));
    await fc.assert(runs, { numRuns: 12 });
  });
});
