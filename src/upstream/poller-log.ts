/** What a poller logs: nothing of contents. */

import type { Logger } from "../base/logger.ts";
import type { HomeserverAnswer } from "./client.ts";
import type { BatchNews, SetAside } from "./ingest/ingest-result.ts";
import type { SyncSize } from "./sync-size.ts";
import { UpstreamError } from "./upstream-error.ts";

export class PollerLog {
  readonly #logger: Logger;
  readonly #names: Readonly<Record<string, number>>;

  /** `names`: account and device. */
  constructor(logger: Logger, names: Readonly<Record<string, number>>) {
    this.#logger = logger;
    this.#names = names;
  }

  /** An account's first sync is stored, `ms` after it was asked for. */
  firstSync(news: BatchNews, answer: HomeserverAnswer, ms: number): void {
    const figures = { rooms: news.rooms.size, megabytes: Math.round(answer.text.length / 1e5) / 10, ms: Math.round(ms) };
    this.#logger.info({ ...this.#names, ...figures }, "The account's first sync is stored");
  }

  setAside({ error, parts, rooms }: SetAside): void {
    this.#logger.error(
      { ...this.#names, error, parts, rooms: rooms.length },
      "Parts of an answer of the homeserver could not be stored. They are set aside and will be tried again. Please report this",
    );
  }

  /** An answer was too large or too slow. `size`: what is requested now, in `delay` ms. */
  size(size: SyncSize, delay: number, reason: string | undefined): void {
    const figures = { ...this.#names, reason, delay };
    if (delay > 0)
      this.#logger.error(figures, "The homeserver's answers for the account are too large or too slow, even without rooms: see -max-sync-bytes");
    else this.#logger.warn({ ...figures, size }, "An answer of the homeserver is too large or too slow; asking for less");
  }

  tokenDead(): void {
    this.#logger.info(this.#names, "The homeserver no longer accepts the device's token");
  }

  tokenUnusable(): void {
    this.#logger.error(
      this.#names,
      "The device's stored token was encrypted with another secret. Polling resumes when the client sends a request with its token",
    );
  }

  sinceRefused(): void {
    this.#logger.warn(this.#names, "The homeserver does not know the position of the last poll; syncing from scratch");
  }

  /** `failures`: in a row. `delay`: until the next try, ms. */
  failed(error: unknown, failures: number, delay: number): void {
    const level = failures === 1 || failures % 10 === 0 ? "warn" : "debug";
    const what = error instanceof UpstreamError ? { kind: error.kind, reason: error.message } : { err: error };
    this.#logger[level]({ ...this.#names, ...what, failures, delay: Math.round(delay) }, "A poll failed; it will be tried again");
  }
}
