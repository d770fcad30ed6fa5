/**
 * The session state machine against a model of it: random sessions ask, repeat old tokens, fetch pages, wait, end and expire while data comes and
 * the server restarts. Each answer must be exactly what the model says (I1-I6, I9).
 */

import fc from "fast-check";
import { it } from "vitest";
import { type Command, Deliver, End, Nothing, OTHERS, Pages, PICKS, Real, Restart, ROOM, Start, Sync, Wait } from "../support/session-commands.ts";
import type { Batch, Body } from "../support/session-model.ts";
import { v3Server } from "../support/v3.ts";

const USERS = [...OTHERS, "@c:test", "@d:test", "@x:test"];

const t = v3Server();

const limits = fc.integer({ min: 1, max: 3 });
const optional = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined });
const bodies: fc.Arbitrary<Body> = fc.record(
  {
    typing: fc.constantFrom(null, {}, { room_id: ROOM }, { room_id: ROOM }, { room_id: null }),
    to_device: fc.oneof(
      fc.constant(null),
      fc.constant({}),
      limits.map((limit) => ({ limit })),
      fc.constant({ limit: null }),
    ),
    room_members: fc.oneof(
      fc.constant(null),
      fc.constant({}),
      fc.record({ room_id: fc.constant(ROOM), p: fc.record({ limit: limits, sort: fc.constantFrom("by_name", "by_pl") }, { requiredKeys: [] }) }),
      limits.map((limit) => ({ p: { limit } })),
    ),
    account_data: fc.constantFrom(null, {}, {}),
  },
  { requiredKeys: [] },
);
const batches: fc.Arbitrary<Batch> = fc
  .record({
    typing: optional(fc.subarray(["@a:test", "@b:test"])),
    messages: fc.integer({ min: 0, max: 3 }),
    members: fc.subarray(USERS, { maxLength: 3 }),
    accountData: fc.subarray(["t1", "t2"]),
  })
  .map(({ typing: set, ...batch }) => ({ ...batch, ...(set && { typing: set }) }));
const picks = fc.nat({ max: PICKS - 1 });

/** Shrinking removes what does not matter. */
const commands = fc.oneof<fc.Arbitrary<Command>[]>(
  { withCrossShrink: true },
  fc.constant(new Nothing()),
  bodies.map((body) => new Start(body)),
  batches.map((batch) => new Deliver(batch)),
  batches.map((batch) => new Deliver(batch)),
  fc.tuple(picks, fc.oneof(fc.constant({}), bodies)).map(([pick, body]) => new Sync(pick, body)),
  fc.tuple(picks, fc.oneof(fc.constant({}), bodies)).map(([pick, body]) => new Sync(pick, body)),
  picks.map((pick) => new Sync(pick, {})),
  fc.tuple(picks, limits).map(([pick, limit]) => new Pages(pick, limit)),
  picks.map((pick) => new Wait(pick)),
  fc.constant(new Restart()),
  fc.tuple(picks, fc.constantFrom("delete" as const, "expire" as const)).map(([pick, how]) => new End(pick, how)),
);
const STEPS = 30;
const sequences = fc.array(commands, { minLength: STEPS, maxLength: STEPS });

it("I1 I2 I3 I4 I5 I6 I9: whatever sessions do, each answer is what the model says", { timeout: 600_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(sequences, async (sequence) => {
      const real = new Real(t);
      await real.begin();
      for (const command of sequence) await command.run(real.model, real);
    }),
    { numRuns: 20 },
  );
});
