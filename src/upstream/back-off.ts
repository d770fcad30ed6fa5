/** How long to wait after failures: capped exponential with full jitter (B50), never less than the homeserver asks for. */

export type BackOffOptions = {
  /** Upper bound after the first failure, ms. */
  readonly base: number;
  /** Upper bound after many, ms. */
  readonly cap: number;
  /** The longest wait that the homeserver can ask for, ms. */
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
   * Counts a failure. Returns milliseconds to wait: a random value below the bound, which doubles each time. If the homeserver asks for a
   * wait (`retryAfterMs`), that, and up to `base` more, so that not all clients return at the same time. `cap`: a lower bound than usual,
   * ms, for something that will be back soon.
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
