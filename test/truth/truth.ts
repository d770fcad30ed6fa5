/** `npm run truth`: random histories on a real homeserver, and whether our server says what it says. */

import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { startEmbeddedDatabase } from "../../src/cli/embedded-database.ts";
import { migrate } from "../../src/store/migrate.ts";
import type { Step } from "./plan.ts";
import { type Finding, findTruth, newReport, playHistory, withServers } from "./run.ts";

const HELP = `npm run truth -- [options]

Plays random histories on a real Synapse, with our server in front of it, which is stopped and killed in between. At quiet points every user's
every device is looked at through each API, from scratch and as clients know it that have followed all the while, and held against a fresh v2
sync and Synapse's own sliding sync. A history after which something differs is cut down to a small one, and written to .cache/truth/. Moved to
test/truth/found/ it becomes a test. It makes what it needs in a temporary directory.

  --minutes N         how long (default 2)
  --seed N            the same histories again (default: by the clock; it is printed)
  --shrink-minutes N  how long each history that is found is cut down (default 5; 0: not at all)
  --replay FILE       plays the history of a file instead

  --help
`;

const number = { type: "string" } as const;
const options = { minutes: number, seed: number, "shrink-minutes": number, replay: number, help: { type: "boolean" } } as const;
const { values } = parseArgs({ options });
const say = (line: string) => void process.stderr.write(`${line}\n`);
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const KEPT = join(import.meta.dirname, "../../.cache/truth");

if (values.help) process.stdout.write(HELP);
else if (values.replay !== undefined) {
  const { steps } = JSON.parse(await readFile(values.replay, "utf8")) as { steps: Step[] };
  const report = newReport(0);
  const { found } = await withDatabase((dsn) => withServers(dsn, say, (servers) => playHistory(servers, steps, { say, report })));
  for (const [kind, reason] of Object.entries(report.reasons)) say(`refused: ${kind}: ${reason}`);
  for (const { words } of found) process.stdout.write(`${words}\n`);
  process.exitCode = found.length > 0 ? 1 : 0;
} else {
  const seed = Number(values.seed ?? Date.now() % 1_000_000);
  say(`seed ${seed}`);
  const [minutes, shrinkMinutes] = [Number(values.minutes ?? 2), Number(values["shrink-minutes"] ?? 5)];
  const { found, ...report } = await withDatabase((dsn) => findTruth({ minutes, seed, shrinkMinutes, dsn, say, keep }));
  process.stdout.write(`${JSON.stringify({ ...report, found: found.length }, null, 2)}\n`);
  for (const row of report.unmet) say(`never met, so it goes from intended.ts: ${row}`);
  process.exitCode = found.length + report.unmet.length > 0 ? 1 : 0;
}

/** Writes what --replay reads, a step a line. */
async function keep({ steps, ...finding }: Finding): Promise<void> {
  await mkdir(KEPT, { recursive: true });
  const file = join(KEPT, `seed-${finding.seed}.json`);
  const lines = steps.map((step) => `    ${JSON.stringify(step)}`).join(",\n");
  await writeFile(file, `${JSON.stringify(finding, null, 2).slice(0, -2)},\n  "steps": [\n${lines}\n  ]\n}\n`);
  say(`found: ${finding.words[0]}\n  ${steps.length} steps in ${file}`);
}

/** An embedded one, in a temporary directory. */
async function withDatabase<T>(body: (dsn: string) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-truth-"));
  const embedded = await startEmbeddedDatabase({ directory });
  const end = async (): Promise<void> => {
    await embedded.stop();
    await rm(directory, { recursive: true, force: true });
  };
  // Synapse and our server end with this process.
  const interrupted = (): void => void end().finally(() => process.exit(130));
  for (const signal of SIGNALS) process.on(signal, interrupted);
  try {
    await migrate(embedded.options);
    return await body(embedded.dsn);
  } finally {
    for (const signal of SIGNALS) process.off(signal, interrupted);
    await end();
  }
}
