/** One run of a PostgreSQL server process: from its start until it takes connections, and its end. */

import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";

import type { Invocation } from "./run-as.ts";

/** The server ended before it took connections. */
export class PostgresFailed extends Error {
  override readonly name = "PostgresFailed";
  /** It found what an earlier server has not yet let go of: trying again helps. */
  readonly passing: boolean;

  constructor(output: readonly string[]) {
    super(`PostgreSQL did not start:\n${output.join("\n")}`);
    this.passing = output.some((line) =>
      /pre-existing shared memory block|lock file "[^"]*" already exists|is the server already running/.test(line),
    );
  }
}

/** A server that takes connections. */
export type PostgresProcess = {
  /** Fulfilled when the process has ended, for whatever reason, with the last lines that it wrote. */
  readonly ended: Promise<readonly string[]>;
  /** Ends it: open connections are closed (fast shutdown), and after `patienceMs` without a checkpoint (immediate shutdown). */
  stop(patienceMs?: number): Promise<void>;
};

const LINES_KEPT = 20;

/**
 * Starts the server and waits until it takes connections. Its log goes line by line to `onLine`.
 * @throws PostgresFailed
 */
export async function runPostgres(invocation: Invocation, cwd: string, onLine: (line: string) => void): Promise<PostgresProcess> {
  const child = spawn(invocation.file, invocation.args, {
    ...invocation.options,
    cwd,
    // A session of its own: Ctrl-C in a terminal is for us, and we stop the database last.
    detached: true,
    stdio: ["ignore", "ignore", "pipe"],
    env: { ...cleanEnvironment(), LC_ALL: "C" },
  });
  const last: string[] = [];
  const { promise: ready, resolve: setReady } = Promise.withResolvers<"ready">();
  createInterface({ input: child.stderr }).on("line", (line) => {
    last.push(line);
    if (last.length > LINES_KEPT) last.shift();
    onLine(line);
    if (line.includes("database system is ready to accept connections")) setReady("ready");
  });
  const ended = new Promise<readonly string[]>((resolve) => {
    child.once("error", (error) => resolve([`${invocation.file}: ${error.message}`]));
    // `close`, not `exit`: the last lines tell why.
    child.once("close", () => resolve(last));
  });
  const first = await Promise.race([ready, ended]);
  if (first !== "ready") throw new PostgresFailed(first);
  return { ended, stop: (patienceMs = 8000) => stop(child, ended, patienceMs) };
}

async function stop(child: ChildProcess, ended: Promise<unknown>, patienceMs: number): Promise<void> {
  child.kill("SIGINT");
  const timer = setTimeout(() => child.kill("SIGQUIT"), patienceMs);
  await ended;
  clearTimeout(timer);
}

/** PGDATA, PGPORT and the like are meant for another server. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("PG")));
}
