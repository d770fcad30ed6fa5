/** `npm run torture`: the kill loop at length, or wrong answers of a homeserver for some minutes. What it found goes to standard output, in JSON. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { percentile } from "../../bench/stats.ts";
import { startEmbeddedDatabase } from "../../src/cli/embedded-database.ts";
import { connect } from "../../src/store/db.ts";
import { migrate } from "../../src/store/migrate.ts";
import type { TestDatabase } from "../support/database.ts";
import { echoLoop } from "./echo-loop.ts";
import { fuzzLoop } from "./fuzz-loop.ts";
import { killLoop } from "./kill-loop.ts";

const HELP = `npm run torture -- [options]

Kills workers, the whole server and PostgreSQL at each step of a response's way, while three clients follow an account in front of a
scripted homeserver, and counts what they lose, get twice or out of order. It makes what it needs in a temporary directory.

  --rounds N      faults, each of the next kind (default 80)
  --responses N   responses of the homeserver in a round (default 25)
  --each N        to-device messages, and as many events, in a response (default 5)

npm run torture -- --fuzz MINUTES [options]

Sends a real homeserver's answers to GET /sync through the server with PostgreSQL, each with something wrong in it, and good ones in between;
a client of each API follows. Counts accounts that stand still, what had to be set aside, and answers that a strict client cannot read.

  --fuzz MINUTES  how long
  --accounts N    at the same time (default 4)
  --seed N        the same answers again (default: by the clock; it is printed)

npm run torture -- --echo MESSAGES

Runs the echo bot of packages/client/examples on the feed, and kills it and the server again and again. Counts the messages that it answered
never, and more than once.

  --help
`;

const number = { type: "string" } as const;
const options = {
  rounds: number,
  responses: number,
  each: number,
  fuzz: number,
  echo: number,
  accounts: number,
  seed: number,
  help: { type: "boolean" },
} as const;
const { values } = parseArgs({ options });
const say = (line: string) => void process.stderr.write(`${line}\n`);

if (values.help) process.stdout.write(HELP);
else if (values.echo !== undefined) {
  const report = await echoLoop({ messages: Number(values.echo), killEvery: 200, say });
  print(report);
  process.exitCode = report.unanswered + report.doubled === 0 ? 0 : 1;
} else if (values.fuzz === undefined) {
  const [rounds, responses, each] = [Number(values.rounds ?? 80), Number(values.responses ?? 25), Number(values.each ?? 5)];
  const { recoveryMs, ...report } = await killLoop({ rounds, responses, each, say });
  const recovery = { p50: Math.round(percentile(recoveryMs, 50)), max: Math.round(Math.max(...recoveryMs)) };
  print({ ...report, recoveryMs: recovery });
  const whole = report.clients.every((client) => [client.toDevice, client.events].every((one) => one.lost + one.doubled + one.disordered === 0));
  process.exitCode = whole ? 0 : 1;
} else {
  const seed = Number(values.seed ?? Date.now() % 1_000_000);
  say(`seed ${seed}`);
  const [minutes, accounts] = [Number(values.fuzz), Number(values.accounts ?? 4)];
  const report = await withDatabase((database) => fuzzLoop({ minutes, accounts, seed, database, say }));
  print(report);
  const isClean = report.setAside.length + report.problems.length + Object.keys(report.stalled).length === 0;
  process.exitCode = isClean ? 0 : 1;
}

/** An embedded one, in a temporary directory. */
async function withDatabase<T>(body: (database: TestDatabase) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-torture-"));
  const embedded = await startEmbeddedDatabase({ directory });
  try {
    await migrate(embedded.options);
    const sql = connect(embedded.options);
    return await body({ sql, options: embedded.options, dsn: embedded.dsn, drop: () => sql.end({ timeout: 1 }) });
  } finally {
    await embedded.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

function print(report: object): void {
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`);
}
