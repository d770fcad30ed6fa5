/** A limited number at a time; the others wait for their turn, in order. */

import { reasonOf } from "./abort.ts";
import { WaitingLine } from "./waiting-line.ts";

export class Slots {
  #free: number;
  readonly #waiting = new WaitingLine<void, undefined>();

  constructor(most: number) {
    this.#free = most;
  }

  /**
   * Runs `body` when a slot is free.
   * @throws the signal's reason if it is aborted before
   */
  async run<T>(signal: AbortSignal, body: () => Promise<T>): Promise<T> {
    const leave = await this.enter(signal);
    try {
      return await body();
    } finally {
      leave();
    }
  }

  /**
   * Waits until a slot is free. Call the returned function once, when the slot is no longer needed.
   * @throws as `run`
   */
  async enter(signal: AbortSignal): Promise<() => void> {
    await this.#take(signal);
    return () => this.#give();
  }

  #take(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(reasonOf(signal));
    if (this.#free > 0) {
      this.#free -= 1;
      return Promise.resolve();
    }
    return this.#waiting.join(undefined, signal);
  }

  /** Pass the slot on to the longest waiting one. */
  #give(): void {
    const [next] = this.#waiting;
    if (next) next.go();
    else this.#free += 1;
  }
}
