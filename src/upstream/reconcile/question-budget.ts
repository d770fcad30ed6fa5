/** How fast the homeserver is asked what no client waits for: one rate for all processes (T1). */

import { sleep } from "../../base/abort.ts";

export type QuestionBudgetOptions = {
  /** Questions a second, over all processes. Default 5. */
  readonly perSecond?: number | undefined;
  /** ms; only differences count. Default: a monotonic clock. */
  readonly now?: () => number;
  readonly sleep?: (ms: number, signal: AbortSignal) => Promise<void>;
};

/** After trouble the rate is halved, and doubled again after so long without, ms. */
const PER_SECOND = 5;
const RECOVERY_MS = 60_000;
/** It is not halved more often than this. */
const MOST_HALVINGS = 8;

export class QuestionBudget {
  readonly #options: Required<QuestionBudgetOptions> & { readonly perSecond: number };
  #halvings = 0;
  #troubledAt = 0;
  #nextAt = 0;

  constructor(options: QuestionBudgetOptions) {
    this.#options = { now: () => performance.now(), sleep, ...options, perSecond: options.perSecond ?? PER_SECOND };
  }

  /**
   * Waits until this process may ask one more question. `processes`: how many share the rate.
   * @throws the signal's reason
   */
  async take(processes: number, signal: AbortSignal): Promise<void> {
    const { now, perSecond } = this.#options;
    const at = Math.max(now(), this.#nextAt);
    this.#nextAt = at + (1000 * Math.max(1, processes) * 2 ** this.#halved()) / perSecond;
    if (at > now()) await this.#options.sleep(at - now(), signal);
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
