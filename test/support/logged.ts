/** A log that a test looks into. */

import { pino } from "pino";
import { LOGGER_OPTIONS, type Logger } from "../../src/base/logger.ts";

export type TestLog = {
  readonly logger: Logger;
  /** All of it, as text. */
  text(): string;
  /** How many lines have that message. */
  count(message: string): number;
};

export function testLog(): TestLog {
  const lines: string[] = [];
  const logger = pino({ ...LOGGER_OPTIONS, level: "debug" }, { write: (line) => void lines.push(line) });
  return { logger, text: () => lines.join(""), count: (message) => lines.filter((line) => line.includes(`"msg":${JSON.stringify(message)}`)).length };
}
