/** How many requests may be in progress at once (D21), and how often something may be done. */

import { LRUCache } from "lru-cache";
import { limitExceeded } from "../wire/errors.ts";

/** Counts what is in progress by key; `enter` refuses beyond `max` of a key. */
export class InProgress<Key> {
  readonly #counts = new Map<Key, number>();
  readonly #max: number;
  readonly #retryAfterMs: number;

  /** `retryAfterMs` is what a refused client is told to wait. */
  constructor(max: number, retryAfterMs = 1000) {
    this.#max = max;
    this.#retryAfterMs = retryAfterMs;
  }

  /** Counts one more of `key`; the returned function, called once or more, takes it back. Throws 429 M_LIMIT_EXCEEDED. */
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
  /** What may be spent at once, and what comes back a second. */
  readonly most: number;
  readonly perSecond: number;
  /** Keys that are remembered; the longest unused one is forgotten first. */
  readonly keys?: number;
  /** Milliseconds since 1970. */
  readonly now: () => number;
};

/** An allowance for each key that is spent, and comes back with time. */
export class Allowance<Key extends string> {
  readonly #options: AllowanceOptions;
  readonly #spent: LRUCache<Key, { readonly amount: number; readonly at: number }>;

  constructor(options: AllowanceOptions) {
    this.#options = options;
    this.#spent = new LRUCache({ max: options.keys ?? 10_000 });
  }

  /** Spends one of `key`. @throws MatrixError 429 M_LIMIT_EXCEEDED, with when there is one again, where nothing is left */
  spend(key: Key): void {
    const spent = this.#spentOf(key) + 1;
    const missing = spent - this.#options.most;
    if (missing > 0) throw limitExceeded((missing / this.#options.perSecond) * 1000);
    this.#spent.set(key, { amount: spent, at: this.#options.now() });
  }

  /** What was spent of `key` was spent for nothing. */
  giveBack(key: Key): void {
    this.#spent.set(key, { amount: Math.max(0, this.#spentOf(key) - 1), at: this.#options.now() });
  }

  #spentOf(key: Key): number {
    const spent = this.#spent.get(key);
    if (!spent) return 0;
    return Math.max(0, spent.amount - ((this.#options.now() - spent.at) / 1000) * this.#options.perSecond);
  }
}
