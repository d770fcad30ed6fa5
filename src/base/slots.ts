/** So many at a time; who comes beyond that waits for its turn, in order. */

import { reasonOf } from "./abort.ts";

export class Slots {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(most: number) {
    this.#free = most;
  }

  /** Runs `body` when there is room. @throws the signal's reason where it is aborted before */
  async run<T>(signal: AbortSignal, body: () => Promise<T>): Promise<T> {
    const leave = await this.enter(signal);
    try {
      return await body();
    } finally {
      leave();
    }
  }

  /** Waits until there is room. What it gives is to be called once, when the room is no longer needed. @throws as `run` */
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
    return new Promise((resolve, reject) => {
      const go = (): void => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const leave = (): void => {
        this.#waiting.delete(go);
        reject(reasonOf(signal));
      };
      this.#waiting.add(go);
      signal.addEventListener("abort", leave, { once: true });
    });
  }

  /** The place goes on to who waits longest. */
  #give(): void {
    const [next] = this.#waiting;
    if (!next) this.#free += 1;
    else {
      this.#waiting.delete(next);
      next();
    }
  }
}
