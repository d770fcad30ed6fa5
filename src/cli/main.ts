/** The entry point of the command: arguments, signals, exit codes and error messages. */

import cluster from "node:cluster";
import { readFileSync } from "node:fs";

import { CommanderError } from "commander";

import { createLogger } from "../base/logger.ts";
import { BadUrl } from "../config/base-url.ts";
import { BadConfigFile } from "../config/config-file.ts";
import { BadDsn } from "../config/dsn.ts";
import { UsageError } from "../config/option-reader.ts";
import { createProgram, type DatabaseSettings, doubleDashes } from "../config/options.ts";
import { BadServer } from "../config/server-url.ts";
import { BadCertificate } from "../server/certificate.ts";
import { DirectoryInUse } from "./directory-lock.ts";
import { endSessions } from "./end-sessions.ts";
import { WrongVersion } from "./embedded-database.ts";
import { forget, NobodyThere } from "./forget.ts";
import { BusUnusable } from "../server/open-bus.ts";
import { DatabaseUnusable } from "./open-database.ts";
import { NoPostgres } from "./postgres-program.ts";
import { rotateSecret, WrongSecret } from "./rotate-secret.ts";
import { doctor, Unwell } from "./doctor.ts";
import { BadSecretFile } from "./secret.ts";
import { serve, serveAsWorker } from "./serve.ts";
import { status } from "./status.ts";
import type { Maintenance } from "./maintenance.ts";
import { StillServing } from "./while-stopped.ts";
import { receiveOrder, tellParent } from "./workers.ts";

/** After this long, a clean stop has failed, ms. */
const STOP_LIMIT_MS = 9500;

/** Events that ask for a clean stop. `disconnect`: scripts/start.mjs, the parent process, is gone. SIGHUP: the terminal is gone. */
const STOP_EVENTS = ["SIGTERM", "SIGINT", "SIGHUP", "disconnect"] as const;

/** Errors in the arguments, found before anything was done. */
const WRONGLY_ASKED = [UsageError, BadConfigFile, BadDsn, BadUrl];
/** Errors that the operator can fix: the message is printed without a stack trace. */
const MENDABLE = [
  ...WRONGLY_ASKED,
  BadCertificate,
  BadServer,
  BadSecretFile,
  BusUnusable,
  DatabaseUnusable,
  DirectoryInUse,
  NobodyThere,
  NoPostgres,
  StillServing,
  Unwell,
  WrongSecret,
  WrongVersion,
];

/** Runs the command and returns the exit code: 0 success, 1 failure, 2 wrong arguments. */
export async function main(args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<number> {
  // A closed terminal or pipe must not end the server in the middle of its work.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
  if (cluster.isWorker) return runWorker();
  const say = (line: string): void => void process.stdout.write(`${line}\n`);
  const complain = (text: string): void => void process.stderr.write(`syncv3: ${text}\n`);
  const program = createProgram(version(), env, {
    serve: (settings) => untilStopped((signal) => serve({ settings, version: version(), logger: createLogger(settings.logLevel), say, signal })),
    rotateSecret: maintain(rotateSecret, say),
    endSessions: maintain(endSessions, say),
    status: maintain(status, say),
    forget: maintain(forget, say),
    doctor: (settings) => untilStopped((signal) => doctor(settings, say, signal)),
  });
  for (const command of [program, ...program.commands]) {
    command.exitOverride().configureOutput({ outputError: (text) => complain(text.replace(/^error: /, "").trimEnd()) });
  }
  try {
    await program.parseAsync(doubleDashes(args), { from: "user" });
    return 0;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (error instanceof Error && (MENDABLE.some((kind) => error instanceof kind) || isListenError(error))) complain(describe(error));
    else complain(error instanceof Error ? (error.stack ?? error.message) : String(error));
    return WRONGLY_ASKED.some((kind) => error instanceof kind) ? 2 : 1;
  }
}

/** Adapts a command that works on the database to what createProgram calls. */
function maintain<S extends DatabaseSettings>(
  run: (maintenance: Maintenance & { readonly settings: S }) => Promise<void>,
  say: (line: string) => void,
): (settings: S) => Promise<void> {
  return (settings) => untilStopped((signal) => run({ settings, logger: createLogger(settings.logLevel), say, signal }));
}

/** Runs a worker process of `-workers`. The process that started it sends its settings. */
async function runWorker(): Promise<number> {
  try {
    await untilStopped(async (signal) => {
      const order = await receiveOrder();
      await serveAsWorker(order, createLogger(order.settings.logLevel), signal);
    });
    return 0;
  } catch (error) {
    const { message, code, syscall } = error instanceof Error ? (error as NodeJS.ErrnoException) : { message: String(error) };
    await tellParent({ syncv3: "failed", message, error: { ...(code !== undefined && { code }), ...(syscall !== undefined && { syscall }) } });
    return 1;
  }
}

async function untilStopped(run: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const stopping = new AbortController();
  const stop = (): void => {
    if (stopping.signal.aborted) return;
    stopping.abort();
    setTimeout(() => {
      process.stderr.write("syncv3: could not stop cleanly within 9.5 s\n");
      process.exit(1);
    }, STOP_LIMIT_MS).unref();
  };
  for (const event of STOP_EVENTS) process.on(event, stop);
  try {
    await run(stopping.signal);
  } catch (error) {
    // The server was stopped during start-up, so the error is a consequence of the stop.
    if (!stopping.signal.aborted) throw error;
  } finally {
    for (const event of STOP_EVENTS) process.off(event, stop);
  }
}

function isListenError(error: Error): error is NodeJS.ErrnoException {
  // With workers, the first process binds the address and the workers listen on it.
  return "syscall" in error && (error.syscall === "listen" || error.syscall === "bind");
}

function describe(error: Error): string {
  if (!isListenError(error)) return error.message;
  return error.code === "EADDRINUSE"
    ? `${error.message.replace(/^(listen|bind) /, "-port: ")}. Give another address, e.g. -port :8009`
    : error.message;
}

function version(): string {
  const file = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(file) as { version: string }).version;
}
