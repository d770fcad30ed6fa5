/** Nothing is lost, nothing comes twice and nothing out of order, whatever is killed at whichever step. The long form: `npm run torture`. */

import { expect, test } from "vitest";
import { FAULTS } from "./faults.ts";
import { whole } from "./followers.ts";
import { killLoop } from "./kill-loop.ts";

test(
  "B26 B55 D22: two sessions and a connection have every to-device message and every event once, in order, as each part is killed at each step",
  { timeout: 900_000 },
  async () => {
    const kinds = Object.keys(FAULTS);
    const report = await killLoop({ rounds: kinds.length, responses: 3, each: 5 });
    expect(report.sent).toBe(kinds.length * 15);
    expect(Object.keys(report.faults)).toEqual(kinds);
    for (const client of report.clients) expect(client).toMatchObject({ toDevice: whole(report.sent), events: whole(report.sent) });
    // The faults did strike.
    expect(report.clients[0]?.interrupted).toBeGreaterThan(0);
  },
);
