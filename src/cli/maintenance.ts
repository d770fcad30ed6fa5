/** What every command that works on the database is given. */

import type { Logger } from "../base/logger.ts";
import type { DatabaseSettings } from "../config/options.ts";

export type Maintenance = {
  readonly settings: DatabaseSettings;
  readonly logger: Logger;
  /** Told what a person wants to know, line by line. */
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
};
