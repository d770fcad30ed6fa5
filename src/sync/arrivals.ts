/** The order of requests: of two of one session or connection, the newer one ends the older (D11). */

import { randomUUID } from "node:crypto";

/** Gives names to requests as they arrive, in this process; they compare across processes as far as their clocks agree. */
export class Arrivals {
  readonly #now: () => number;
  #count = 0;

  /** `now`: ms since the epoch. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Sorts after those of all earlier requests. */
  next(): string {
    this.#count += 1;
    const digits = (value: number, length: number) => value.toString(36).padStart(length, "0");
    return `${digits(this.#now(), 10)} ${digits(this.#count, 10)} ${randomUUID()}`;
  }
}
