/** How many requests may be in progress at once (D21), and how often something may be done. */

import { LRUCache } from "lru-cache";
import { limitExceeded } from "../wire/errors.ts";

/** Counts what is in progress per key, and refuses more than `max`. */
export class InProgress<Key> {
  readonly #counts = new Map<Key, number>();
  readonly #max: number;
  readonly #retryAfterMs: number;

  /** `retryAfterMs`: when a refused client may retry. */
  constructor(max: number, retryAfterMs = 1000) {
    this.#max = max;
    this.#retryAfterMs = retryAfterMs;
  }

  /** Counts one more for `key`, until the returned function is called (again calls do nothing). Throws 429 M_LIMIT_EXCEEDED. */
  enter(key: Key): () => void {
    const count = this.#counts.get(key) ?? 0;
    if (count >= this.#max) throw limitExceeded(this.#retryAfterMs, "Too many requests at the same time");
    this.#counts.set(key, count + 1);
    let left = false;
    return () => {
      if (left) return;
      left = true;
      const now = (this.#counts.get(key) ?? 1) - 1;
      if (now === 0) this.#counts.delete(key);
      else this.#counts.set(key, now);
    };
  }
}

export type AllowanceOptions = {
  /** What may be spent at once, and what is restored per second. */
  readonly most: number;
  readonly perSecond: number;
  /** The most keys that are remembered; the least recently used ones are forgotten. */
  readonly keys?: number;
  /** Milliseconds; only differences count. */
  readonly now: () => number;
};

/** An allowance per key, restored over time. */
export class Allowance<Key extends string> {
  readonly #options: AllowanceOptions;
  readonly #spent: LRUCache<Key, { readonly amount: number; readonly at: number }>;

  constructor(options: AllowanceOptions) {
    this.#options = options;
    this.#spent = new LRUCache({ max: options.keys ?? 10_000 });
  }

  /** Spends one of `key`. @throws MatrixError 429 M_LIMIT_EXCEEDED, with the time until the next one, if nothing is left */
  spend(key: Key): void {
    const spent = this.#spentOf(key) + 1;
    const missing = spent - this.#options.most;
    if (missing > 0) throw limitExceeded((missing / this.#options.perSecond) * 1000);
    this.#spent.set(key, { amount: spent, at: this.#options.now() });
  }

  /** Undoes one `spend`. */
  giveBack(key: Key): void {
    this.#spent.set(key, { amount: Math.max(0, this.#spentOf(key) - 1), at: this.#options.now() });
  }

  #spentOf(key: Key): number {
    const spent = this.#spent.get(key);
    if (!spent) return 0;
    return Math.max(0, spent.amount - ((this.#options.now() - spent.at) / 1000) * this.#options.perSecond);
  }
}
