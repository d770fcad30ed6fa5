/** `npm run clients`: real clients, through our server, on any homeserver. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { ClientKind } from "./driven-client.ts";

/** Loaded when they are run: the libraries take seconds. */
const KINDS = {
  js: async () => (await import("./js-kind.ts")).js,
  nio: async () => (await import("./pipe-kinds.ts")).nio,
  go: async () => (await import("./pipe-kinds.ts")).mautrix,
  rust: async () => (await import("./pipe-kinds.ts")).rust,
} as const satisfies Readonly<Record<string, () => Promise<ClientKind>>>;

const HELP = `npm run clients -- --homeserver URL [options]

Has real clients log in, list rooms, open one and page back to its start, send, accept an invite, encrypt, read, and restart, through a server of
this checkout in front of that homeserver. It registers two users for each client and makes rooms, so the homeserver must be one to try things on,
with open registration (m.login.dummy). What this server needs is in a temporary directory. Ends with a table; exit code 1 if something failed.

  --homeserver URL  base URL of the homeserver
  --only NAMES      ${Object.keys(KINDS).join(", ")}, separated by commas (default: all that can be run here)
                    js: matrix-js-sdk with its SlidingSync; nio: matrix-nio, which syncs by v2 (installed from PyPI once);
                    go: mautrix-go, which syncs by v2 (needs go and a C compiler: built once, in some minutes)
                    rust: matrix-rust-sdk, as Element X uses it (needs cargo: built once, in ten minutes or more)

  --help
`;

const text = { type: "string" } as const;
const { values } = parseArgs({ options: { homeserver: text, only: text, help: { type: "boolean" } } as const });
const named = values.only?.split(",") ?? Object.keys(KINDS);
const unknown = named.find((name) => !Object.hasOwn(KINDS, name));

if (values.help) process.stdout.write(HELP);
else if (values.homeserver === undefined || unknown !== undefined) {
  process.stderr.write(`${unknown === undefined ? "--homeserver is missing" : `--only: there is no client ${unknown}`}\n\n${HELP}`);
  process.exitCode = 2;
} else process.exitCode = await run(values.homeserver.replace(/\/+$/, ""), named as (keyof typeof KINDS)[]);

/** The exit code. */
async function run(homeserver: string, names: readonly (keyof typeof KINDS)[]): Promise<number> {
  const { startEmbeddedDatabase } = await import("../../src/cli/embedded-database.ts");
  const { migrate } = await import("../../src/store/migrate.ts");
  const { resultTable, runScenario } = await import("./scenario.ts");
  const directory = await mkdtemp(join(tmpdir(), "syncv3-clients-db-"));
  const embedded = await startEmbeddedDatabase({ directory });
  try {
    await migrate(embedded.options);
    const say = (line: string) => void process.stderr.write(`${line}\n`);
    const result = await runScenario({ homeserver, kinds: await Promise.all(names.map((name) => KINDS[name]())), db: embedded.options, say });
    process.stdout.write(`${resultTable(result)}\n`);
    return result.kinds.some(({ steps }) => steps.some(({ failure }) => failure !== null)) ? 1 : 0;
  } finally {
    await embedded.stop();
    await rm(directory, { recursive: true, force: true });
  }
}
