/** Those who wait for something, in order. Whoever's signal aborts leaves. */

import { reasonOf } from "./abort.ts";

/** One who waits. Call one of `go` and `fail`, once. */
type Place<Given, About> = { readonly about: About; readonly go: (given: Given) => void; readonly fail: (error: unknown) => void };

export class WaitingLine<Given, About> implements Iterable<Place<Given, About>> {
  readonly #places = new Set<Place<Given, About>>();
  readonly #emptied: () => void;

  /** @param emptied called when nobody waits any more */
  constructor(emptied: () => void = () => {}) {
    this.#emptied = emptied;
  }

  get size(): number {
    return this.#places.size;
  }

  /** Who has waited longest comes first. */
  [Symbol.iterator](): Iterator<Place<Given, About>> {
    return this.#places.values();
  }

  /**
   * Waits until it is one's turn. `about`: what the order may depend on.
   * @throws the signal's reason if it aborts before, or what the place fails with
   */
  join(about: About, signal: AbortSignal): Promise<Given> {
    if (signal.aborted) return Promise.reject(reasonOf(signal));
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.#places.delete(place);
        signal.removeEventListener("abort", abort);
        if (this.#places.size === 0) this.#emptied();
      };
      const abort = (): void => place.fail(reasonOf(signal));
      const place: Place<Given, About> = { about, go: (given) => (leave(), resolve(given)), fail: (error) => (leave(), reject(error)) };
      this.#places.add(place);
      signal.addEventListener("abort", abort, { once: true });
    });
  }
}
