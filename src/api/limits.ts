/** How many requests may be in progress at once (D21). */

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
