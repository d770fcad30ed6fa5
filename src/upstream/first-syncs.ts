/** First syncs that are under way in this process: a large account takes its homeserver minutes, and a client waits. */

import type { Logger } from "../base/logger.ts";
import type { AccountNo } from "../wire/ids.ts";

/** How often the log reports that a first sync is under way, ms. */
const LOG_MS = 10_000;

export class FirstSyncs {
  readonly #logger: Pick<Logger, "info">;
  /** Bytes of the homeserver's answer that have arrived, unpacked. */
  readonly #received = new Map<AccountNo, number>();

  constructor(logger: Pick<Logger, "info">) {
    this.#logger = logger;
  }

  /** Runs a first sync. `names`: for the log. `work` calls `received` with how many bytes have arrived. */
  async run<T>(account: AccountNo, names: object, work: (received: (bytes: number) => void) => Promise<T>): Promise<T> {
    this.#logger.info(names, "Starting the account's first sync. For a large account the homeserver needs minutes");
    const startedAt = Date.now();
    this.#received.set(account, 0);
    const timer = setInterval(() => {
      const bytes = this.received(account) ?? 0;
      const figures = { seconds: Math.round((Date.now() - startedAt) / 1000), megabytes: Math.round(bytes / 1e5) / 10 };
      this.#logger.info({ ...names, ...figures }, "The account's first sync is in progress");
    }, LOG_MS);
    try {
      return await work((bytes) => void this.#received.set(account, bytes));
    } finally {
      clearInterval(timer);
      this.#received.delete(account);
    }
  }

  /** Bytes that have arrived of an account's first sync; null: none is under way here. */
  received(account: AccountNo): number | null {
    return this.#received.get(account) ?? null;
  }
}
