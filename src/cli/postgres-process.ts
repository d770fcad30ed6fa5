/** One run of a PostgreSQL server process: its start until it accepts connections, and its end. */

import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";

import type { Invocation } from "./run-as.ts";

/** The server ended before it accepted connections. */
export class PostgresFailed extends Error {
  override readonly name = "PostgresFailed";
  /** An earlier server still holds something that is needed. Trying again helps. */
  readonly passing: boolean;

  constructor(output: readonly string[]) {
    super(`PostgreSQL did not start:\n${output.join("\n")}`);
    this.passing = output.some((line) =>
      /pre-existing shared memory block|lock file "[^"]*" already exists|is the server already running/.test(line),
    );
  }
}

/** A server that accepts connections. */
export type PostgresProcess = {
  /** Resolves when the process has ended, for any reason, with the last lines of its log. */
  readonly ended: Promise<readonly string[]>;
  /** Stops it with a fast shutdown, which closes open connections; after `patienceMs` with an immediate one, without a checkpoint. */
  stop(patienceMs?: number): Promise<void>;
};

const LINES_KEPT = 20;

/**
 * Starts the server and waits until it accepts connections. Each line of its log is passed to `onLine`.
 * @throws PostgresFailed
 */
export async function runPostgres(invocation: Invocation, cwd: string, onLine: (line: string) => void): Promise<PostgresProcess> {
  const child = spawn(invocation.file, invocation.args, {
    ...invocation.options,
    cwd,
    // Detached, so that Ctrl-C in a terminal reaches only syncv3, which stops the database last.
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
    // `close`, not `exit`: it comes after the last lines, which hold the reason.
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
