/** The order in which requests arrived: the newer of two requests of a session or connection ends the older (D11). */

import { randomUUID } from "node:crypto";

/** Gives each request of this process a name that sorts by arrival. Names of several processes compare as well as their clocks agree. */
export class Arrivals {
  readonly #now: () => number;
  #count = 0;

  /** `now`: ms since the epoch. */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** A name that sorts after those of all earlier requests. */
  next(): string {
    this.#count += 1;
    const digits = (value: number, length: number) => value.toString(36).padStart(length, "0");
    return `${digits(this.#now(), 10)} ${digits(this.#count, 10)} ${randomUUID()}`;
  }
}
