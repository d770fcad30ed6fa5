/**
 * Bounds the memory of answers that are read in full before they are sent (N12). Small answers are not counted. A device may hold one large answer
 * at a time, and all large answers of the process share a budget. Beyond either limit, the homeserver's answer is not read further until another
 * one is sent or its client disconnects. One answer at a time may exceed the budget, so that every answer gets through.
 */

import type { DeviceNo } from "../wire/ids.ts";

export type AnswerMemoryOptions = {
  /** Answers up to this size are small, bytes. */
  readonly small?: number;
  /** All large answers together, bytes. */
  readonly budget?: number;
};

const SMALL = 1024 * 1024;
const BUDGET = 64 * 1024 * 1024;

/** One answer's share, from its first byte until it is sent. */
export type Holding = {
  /** Resolves when there is room for this many more bytes. @throws if the holding is released in the meantime */
  grow(bytes: number): Promise<void>;
  /** Call when the answer is sent or given up. Calling it again does nothing. */
  release(): void;
};

/** `attempt`: takes what is waited for, if that is possible now. */
type QueuedAttempt = { readonly attempt: () => boolean; readonly go: () => void };

export class AnswerMemory {
  readonly #small: number;
  readonly #budget: number;
  /** The large answer that each device holds. */
  readonly #turns = new Map<DeviceNo, Holding>();
  readonly #waiting = new Set<QueuedAttempt>();
  #used = 0;
  /** The holding that may exceed the budget. */
  #exempt: Holding | null = null;

  constructor({ small = SMALL, budget = BUDGET }: AnswerMemoryOptions = {}) {
    this.#small = small;
    this.#budget = budget;
  }

  open(device: DeviceNo): Holding {
    const end = Promise.withResolvers<never>();
    end.promise.catch(() => {});
    let [size, counted, isReleased] = [0, 0, false];
    const holding: Holding = {
      grow: async (bytes) => {
        size += bytes;
        if (size <= this.#small) return;
        await this.#until(() => !isReleased && this.#takeTurn(device, holding), end.promise);
        await this.#until(() => {
          if (isReleased || !this.#take(size - counted, holding)) return false;
          counted = size;
          return true;
        }, end.promise);
      },
      release: () => {
        if (isReleased) return;
        isReleased = true;
        end.reject(new Error("The answer was given up"));
        this.#used -= counted;
        if (this.#exempt === holding) this.#exempt = null;
        if (this.#turns.get(device) === holding) this.#turns.delete(device);
        for (const waiting of this.#waiting) {
          if (!waiting.attempt()) continue;
          this.#waiting.delete(waiting);
          waiting.go();
        }
      },
    };
    return holding;
  }

  /** Resolves when `attempt` has succeeded, at once or later. */
  async #until(attempt: () => boolean, end: Promise<never>): Promise<void> {
    if (attempt()) return;
    const done = Promise.withResolvers<void>();
    const waiting: QueuedAttempt = { attempt, go: done.resolve };
    this.#waiting.add(waiting);
    try {
      await Promise.race([done.promise, end]);
    } finally {
      this.#waiting.delete(waiting);
    }
  }

  #takeTurn(device: DeviceNo, holding: Holding): boolean {
    const holder = this.#turns.get(device);
    if (holder && holder !== holding) return false;
    this.#turns.set(device, holding);
    return true;
  }

  #take(bytes: number, holding: Holding): boolean {
    const fits = this.#used + bytes <= this.#budget;
    if (!fits && this.#exempt !== null && this.#exempt !== holding) return false;
    if (!fits) this.#exempt = holding;
    this.#used += bytes;
    return true;
  }
}
