/** How fast the homeserver is asked what no client waits for: one rate for all processes (T1). */

export type QuestionBudgetOptions = {
  /** Questions a second, over all processes. */
  readonly perSecond: number;
  /** ms; only differences count. */
  readonly now: () => number;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
};

/** After trouble the rate is halved, and doubled again after so long without, ms. */
const RECOVERY_MS = 60_000;
/** It is not halved more often than this. */
const MOST_HALVINGS = 8;

export class QuestionBudget {
  readonly #options: QuestionBudgetOptions;
  #halvings = 0;
  #troubledAt = 0;
  #nextAt = 0;

  constructor(options: QuestionBudgetOptions) {
    this.#options = options;
  }

  /**
   * Waits until this process may ask one more question. `processes`: how many share the rate.
   * @throws the signal's reason
   */
  async take(processes: number, signal: AbortSignal): Promise<void> {
    const { now, sleep, perSecond } = this.#options;
    const at = Math.max(now(), this.#nextAt);
    this.#nextAt = at + (1000 * Math.max(1, processes) * 2 ** this.#halved()) / perSecond;
    if (at > now()) await sleep(at - now(), signal);
  }

  /** The homeserver answered 429 or 5xx, or not at all. */
  troubled(): void {
    this.#halvings = Math.min(MOST_HALVINGS, this.#halved() + 1);
    this.#troubledAt = this.#options.now();
  }

  #halved(): number {
    return Math.max(0, this.#halvings - Math.floor((this.#options.now() - this.#troubledAt) / RECOVERY_MS));
  }
}
