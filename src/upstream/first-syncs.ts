/** First syncs that are under way in this process: a large account takes its homeserver minutes, and somebody waits. */

import type { Logger } from "../base/logger.ts";
import type { AccountNo } from "../wire/ids.ts";

/** How often the log says that one still is, ms. */
const TELL_MS = 10_000;

export type FirstSync = {
  /** ms since 1970. */
  readonly startedAt: number;
  /** Of the homeserver's answer, unpacked, so far. */
  readonly bytes: number;
};

export class FirstSyncs {
  readonly #logger: Pick<Logger, "info">;
  readonly #tellMs: number;
  readonly #running = new Map<AccountNo, FirstSync>();

  constructor(logger: Pick<Logger, "info">, tellMs = TELL_MS) {
    this.#logger = logger;
    this.#tellMs = tellMs;
  }

  /** Runs one. `names`: for the log. `work` tells how many bytes have come. */
  async run<T>(account: AccountNo, names: object, work: (received: (bytes: number) => void) => Promise<T>): Promise<T> {
    this.#logger.info(names, "the account's first sync: a large account takes the homeserver minutes");
    const startedAt = Date.now();
    this.#running.set(account, { startedAt, bytes: 0 });
    const told = setInterval(() => {
      const { bytes } = this.#running.get(account) ?? { bytes: 0 };
      const figures = { seconds: Math.round((Date.now() - startedAt) / 1000), megabytes: Math.round(bytes / 1e5) / 10 };
      this.#logger.info({ ...names, ...figures }, "the account's first sync is under way");
    }, this.#tellMs);
    try {
      return await work((bytes) => void this.#running.set(account, { startedAt, bytes }));
    } finally {
      clearInterval(told);
      this.#running.delete(account);
    }
  }

  /** null: none is under way here. */
  of(account: AccountNo): FirstSync | null {
    return this.#running.get(account) ?? null;
  }
}
