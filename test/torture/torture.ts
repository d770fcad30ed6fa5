/** `npm run torture -- [--rounds N] [--responses N] [--each N]`: the kill loop at length. What it found goes to standard output, in JSON. */

import { parseArgs } from "node:util";
import { percentile } from "../../bench/stats.ts";
import { killLoop } from "./kill-loop.ts";

const HELP = `npm run torture -- [options]

Kills workers, the whole server and PostgreSQL at each step of a response's way, while three clients follow an account in front of a
scripted homeserver, and counts what they lose, get twice or out of order. It makes what it needs in a temporary directory.

  --rounds N      faults, each of the next kind (default 80)
  --responses N   responses of the homeserver in a round (default 25)
  --each N        to-device messages, and as many events, in a response (default 5)
  --help
`;

const number = { type: "string" } as const;
const { values } = parseArgs({ options: { rounds: number, responses: number, each: number, help: { type: "boolean" } } });
if (values.help) process.stdout.write(HELP);
else {
  const [rounds, responses, each] = [Number(values.rounds ?? 80), Number(values.responses ?? 25), Number(values.each ?? 5)];
  const { recoveryMs, ...report } = await killLoop({ rounds, responses, each, say: (line) => process.stderr.write(`${line}\n`) });
  const recovery = { p50: Math.round(percentile(recoveryMs, 50)), max: Math.round(Math.max(...recoveryMs)) };
  process.stdout.write(`${JSON.stringify({ ...report, recoveryMs: recovery }, null, 2)}\n`);
  const whole = report.clients.every((client) => [client.toDevice, client.events].every((one) => one.lost + one.doubled + one.disordered === 0));
  process.exitCode = whole ? 0 : 1;
}
