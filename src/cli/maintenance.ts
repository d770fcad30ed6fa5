/** The input of every command that works on the database. */

import type { Logger } from "../base/logger.ts";
import type { DatabaseSettings } from "../config/options.ts";

export type Maintenance = {
  readonly settings: DatabaseSettings;
  readonly logger: Logger;
  /** Prints a line for the operator. */
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
};
