/** How long to wait after failures: capped exponential with full jitter (B50), never less than the homeserver asks for. */

export type BackOffOptions = {
  /** Upper bound after the first failure, ms. */
  readonly base: number;
  /** Upper bound after many, ms. */
  readonly cap: number;
  /** Longest wish of the homeserver that is heeded, ms. */
  readonly retryAfterCap: number;
};

const DEFAULTS: BackOffOptions = { base: 2000, cap: 60_000, retryAfterCap: 3_600_000 };

export class BackOff {
  readonly #options: BackOffOptions;
  readonly #random: () => number;
  #failures = 0;

  /** `random`: 0 to 1. */
  constructor(random: () => number = Math.random, options: Partial<BackOffOptions> = {}) {
    this.#random = random;
    this.#options = { ...DEFAULTS, ...options };
  }

  /** Failures since the last success. */
  get failures(): number {
    return this.#failures;
  }

  /**
   * Counts a failure. Milliseconds to wait: anywhere below the bound, which doubles each time. After a wish of the homeserver
   * (`retryAfterMs`) the wish, and up to `base` on top, so that not all who were sent away come back together.
   * `cap`: a lower bound than usual, ms, for something that is back soon.
   */
  failed(retryAfterMs: number | null = null, cap: number = this.#options.cap): number {
    const { base, retryAfterCap } = this.#options;
    const bound = Math.min(cap, this.#options.cap, base * 2 ** Math.min(this.#failures, 30));
    this.#failures += 1;
    if (retryAfterMs !== null) return Math.min(retryAfterMs, retryAfterCap) + this.#random() * base;
    return this.#random() * bound;
  }

  succeeded(): void {
    this.#failures = 0;
  }
}
