/** The log: one JSON object a line, or coloured text on a terminal. */

import { createRequire } from "node:module";

import { pino, type Logger } from "pino";

export type { Logger };

/** Levels of `-loglevel`, from quiet to loud. */
export const LOG_LEVELS = ["silent", "fatal", "error", "warn", "info", "debug", "trace"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Whether `text` is the name of a level. */
export function isLogLevel(text: string): text is LogLevel {
  return (LOG_LEVELS as readonly string[]).includes(text);
}

/** Options of all our loggers. */
export const LOGGER_OPTIONS = {
  base: null,
  serializers: { err: errorFields },
  // Users' tokens must not reach a log, whatever object is logged.
  redact: ["token", "accessToken", "access_token", "headers.authorization", "req.headers.authorization"],
};

/**
 * A logger that writes to standard error. `pretty`: for a terminal (default: whether standard error is one). Falls back to JSON lines if
 * pino-pretty is not installed: production does not need it.
 */
export function createLogger(level: LogLevel = "info", pretty: boolean = process.stderr.isTTY): Logger {
  const options = { ...LOGGER_OPTIONS, level };
  if (!pretty || !isInstalled("pino-pretty")) return pino(options, pino.destination(2));
  const transport: unknown = pino.transport({
    target: "pino-pretty",
    options: { destination: 2, ignore: "pid,hostname", translateTime: "SYS:HH:MM:ss.l", messageFormat: "{msg}", singleLine: true },
  });
  return pino(options, transport as pino.DestinationStream);
}

/**
 * An error as it is logged. Only these members: a database error's detail quotes rows, and a JSON error's message quotes the text. Either
 * may contain a user's message.
 */
function errorFields(error: unknown): Record<string, unknown> {
  if (!(error instanceof Error)) return { type: typeof error };
  const message = error instanceof SyntaxError ? "not JSON" : error.message;
  const frames = error.stack
    ?.split("\n")
    .filter((line) => /^\s+at /.test(line))
    .join("\n");
  return { type: error.name, message, ...("code" in error && { code: error.code }), stack: frames };
}

/** A logger that writes nothing, for tests and for callers without a logger. */
export function silentLogger(): Logger {
  return pino({ level: "silent" });
}

function isInstalled(name: string): boolean {
  try {
    createRequire(import.meta.url).resolve(name);
    return true;
  } catch {
    return false;
  }
}
