/** A history of `npm run truth`, about a minute, and every history that it once found something with. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { freshDatabase } from "../support/database.ts";
import type { Step } from "./plan.ts";
import { findTruth, playHistory, withServers } from "./run.ts";

const FOUND = join(import.meta.dirname, "found");
/** Always the same: how many fit into a time depends on the machine. */
const HISTORIES = Number(process.env["SYNCV3_TRUTH_HISTORIES"] ?? 1);
const SEED = Number(process.env["SYNCV3_TRUTH_SEED"] ?? 100);
const say = (line: string) => void process.stderr.write(`${line}\n`);

it(
  `I11 M61: random histories on a real homeserver, seed ${SEED}: every device is shown by every API what v2 shows`,
  { timeout: 900_000 },
  async () => {
    say(`npm run truth -- --minutes 1 --seed ${SEED}`);
    const database = await freshDatabase();
    try {
      const { found, checks } = await findTruth({ minutes: 12, histories: HISTORIES, seed: SEED, dsn: database.dsn, shrinkMinutes: 4, say });
      expect(found).toEqual([]);
      expect(checks).toBeGreaterThan(0);
    } finally {
      await database.drop();
    }
  },
);

it("I11 M61: histories that something was found with", { timeout: 900_000 }, async () => {
  const database = await freshDatabase();
  try {
    await withServers(database.dsn, say, async (servers) => {
      for (const file of readdirSync(FOUND)) {
        const { steps } = JSON.parse(readFileSync(join(FOUND, file), "utf8")) as { steps: Step[] };
        const { found } = await playHistory(servers, steps);
        expect({ file, found: found.map(({ words }) => words) }).toEqual({ file, found: [] });
      }
    });
  } finally {
    await database.drop();
  }
});
