/** The command's beginning and end: arguments, signals, the exit code, and errors in words. */

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

/** After this long a stop in good order has failed. */
const STOP_LIMIT_MS = 9500;

/** What asks us to stop in good order. `disconnect`: scripts/start.mjs, which had started us, is gone. SIGHUP: so is the terminal. */
const STOP_EVENTS = ["SIGTERM", "SIGINT", "SIGHUP", "disconnect"] as const;

/** Errors of what was asked for, before anything was done. */
const WRONGLY_ASKED = [UsageError, BadConfigFile, BadDsn, BadUrl];
/** Errors that the operator can mend: their message is enough. */
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

/** Runs the command; gives the exit code: 0 done, 1 failed, 2 asked for wrongly. */
export async function main(args: readonly string[], env: NodeJS.ProcessEnv = process.env): Promise<number> {
  // A terminal or pipe that is gone must not end the server in the middle of something.
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

/** A command that works on the database, as createProgram calls it. */
function maintain<S extends DatabaseSettings>(
  run: (maintenance: Maintenance & { readonly settings: S }) => Promise<void>,
  say: (line: string) => void,
): (settings: S) => Promise<void> {
  return (settings) => untilStopped((signal) => run({ settings, logger: createLogger(settings.logLevel), say, signal }));
}

/** A process of `-workers`: it is told what to do by the one that started it. */
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
      process.stderr.write("syncv3: could not stop in good order in time\n");
      process.exit(1);
    }, STOP_LIMIT_MS).unref();
  };
  for (const event of STOP_EVENTS) process.on(event, stop);
  try {
    await run(stopping.signal);
  } catch (error) {
    // Stopped while starting: what was under way gave up as it was asked to.
    if (!stopping.signal.aborted) throw error;
  } finally {
    for (const event of STOP_EVENTS) process.off(event, stop);
  }
}

function isListenError(error: Error): error is NodeJS.ErrnoException {
  // Of workers the first process binds, and they listen.
  return "syscall" in error && (error.syscall === "listen" || error.syscall === "bind");
}

function describe(error: Error): string {
  if (!isListenError(error)) return error.message;
  return error.code === "EADDRINUSE" ? `${error.message.replace(/^(listen|bind) /, "-port: ")}. Give another, e.g. -port :8009` : error.message;
}

function version(): string {
  const file = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
  return (JSON.parse(file) as { version: string }).version;
}
