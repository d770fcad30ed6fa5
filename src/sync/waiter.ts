/**
 * One request's wait. It subscribes when it is created, so that nothing is missed while an evaluation runs: a wake-up that comes in the meantime
 * ends the following `next` at once.
 */

import { traced } from "../base/tracing.ts";
import type { Feed, Wake } from "../feed/hub.ts";
import { MatrixError } from "../wire/errors.ts";
import type { AccountNo } from "../wire/ids.ts";

/** `evaluate`: evaluate again. `superseded`: a newer request took over. `gone`: a token or session ended. `over`: the time is up. */
export type WaitEnd = "evaluate" | "superseded" | "gone" | "over";

const STRENGTH: Readonly<Record<Exclude<WaitEnd, "over">, number>> = { evaluate: 1, gone: 2, superseded: 3 };

export class Waiter {
  readonly #stops: readonly AbortSignal[];
  readonly #unsubscribe: () => void;
  #pending: Exclude<WaitEnd, "over"> | null = null;
  #resolve: (() => void) | null = null;

  /** @param meaning what a wake-up means to this request; null: nothing */
  constructor(feed: Feed, account: AccountNo, meaning: (wake: Wake) => Exclude<WaitEnd, "over"> | null, stops: readonly AbortSignal[]) {
    this.#stops = stops;
    this.#unsubscribe = feed.subscribe(account, (wake) => {
      const end = meaning(wake);
      if (end === null) return;
      if (!this.#pending || STRENGTH[end] > STRENGTH[this.#pending]) this.#pending = end;
      this.#resolve?.();
    });
  }

  /** One of the signals that stop it was aborted. */
  get isStopped(): boolean {
    return this.#stops.some((signal) => signal.aborted);
  }

  /**
   * Waits for a wake-up that concerns the request, for at most `ms`, or until stopped.
   * @throws the MatrixError that stopped it
   */
  async next(ms: number): Promise<WaitEnd> {
    if (!this.#pending && !this.isStopped) await traced("wait", () => this.#wait(ms));
    for (const { reason } of this.#stops) if (reason instanceof MatrixError) throw reason;
    const end = this.#pending ?? "over";
    this.#pending = null;
    return end;
  }

  async #wait(ms: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#resolve = resolve;
    const timer = setTimeout(resolve, Math.max(0, ms));
    const stop = (): void => resolve();
    for (const signal of this.#stops) signal.addEventListener("abort", stop);
    await promise;
    // Listeners are removed, because some signals live as long as the process. AbortSignal.any would leave a listener on them.
    for (const signal of this.#stops) signal.removeEventListener("abort", stop);
    clearTimeout(timer);
    this.#resolve = null;
  }

  /** The wake-up that came and that no `next` has returned yet; null: none. */
  get pending(): Exclude<WaitEnd, "over"> | null {
    return this.#pending;
  }

  /** Has the request evaluated again. */
  nudge(): void {
    this.#pending ??= "evaluate";
    this.#resolve?.();
  }

  close(): void {
    this.#unsubscribe();
  }
}
