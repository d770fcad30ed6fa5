/** The echo bot answers each message once, whatever is killed. The long form: `npm run torture -- --echo 10000`. */

import { expect, test } from "vitest";
import { echoLoop } from "./echo-loop.ts";

test(
  "M92 M86 M87: each of 500 messages is answered once, although the bot and the server are killed again and again",
  { timeout: 600_000 },
  async () => {
    const report = await echoLoop({ messages: 500, killEvery: 60 });
    expect(report).toMatchObject({ messages: 500, unanswered: 0, doubled: 0 });
    expect(report.leftOut).toBeGreaterThan(0);
    expect(Math.min(report.kills.bot, report.kills.server)).toBeGreaterThan(0);
  },
);
