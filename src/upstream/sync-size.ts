/**
 * How much a poll asks for (N4). An answer that is too large, or takes too long, is asked for again with less:
 *
 *     full ──fails──> short ──fails──> bare ──fails──> full again, after a rest
 *
 * full: timelines as usual. short: one event a room. bare: no rooms but invites and those that were left; the joined ones are then read one
 * by one. What succeeds makes the next poll a full one. Such a descent costs the homeserver as much as three first syncs, so an account has
 * one in 10 minutes, then in 20, up to 6 hours, until a full poll succeeds.
 */

import { UpstreamError } from "./upstream-error.ts";

export type SyncSize = "full" | "short" | "bare";

const LESS: Readonly<Record<SyncSize, SyncSize>> = { full: "short", short: "bare", bare: "full" };
const REST_MS = { first: 600_000, last: 6 * 3_600_000 };
/** A poll that goes on from a `since` and times out so often in a row is taken to ask for too much; before that, for a slow moment. */
const SLOW_POLLS = 3;
/** What a reverse proxy answers where the homeserver takes too long for it. */
const GATEWAY_TIMEOUTS: readonly unknown[] = [504, 524];

export class SizeSteps {
  readonly #now: () => number;
  #size: SyncSize = "full";
  /** How often less was asked for since a full poll succeeded. */
  #descents = 0;
  /** Before that nothing less is asked for again. */
  #restsUntil = -Infinity;
  #slow = 0;

  /** @param now ms; only differences count */
  constructor(now: () => number) {
    this.#now = now;
  }

  get size(): SyncSize {
    return this.#size;
  }

  succeeded(): void {
    if (this.#size === "full") {
      this.#descents = 0;
      this.#restsUntil = -Infinity;
    }
    this.#size = "full";
    this.#slow = 0;
  }

  /** A poll has failed. Milliseconds until the next one, 0 being at once with less; null: its size is not to blame. */
  failed(error: unknown, isFirst: boolean): number | null {
    if (!this.#isOfSize(error, isFirst)) return null;
    this.#slow = 0;
    const rest = Math.max(0, this.#restsUntil - this.#now());
    if (this.#size === "full" && rest > 0) return rest;
    if (this.#size === "full") {
      this.#restsUntil = this.#now() + Math.min(REST_MS.last, REST_MS.first * 2 ** Math.min(this.#descents, 10));
      this.#descents += 1;
    }
    this.#size = LESS[this.#size];
    return this.#size === "full" ? rest : 0;
  }

  #isOfSize(error: unknown, isFirst: boolean): boolean {
    if (!(error instanceof UpstreamError)) return false;
    if (error.kind === "too_large") return true;
    if (error.kind !== "timed_out" && !GATEWAY_TIMEOUTS.includes(error.status)) return false;
    this.#slow += 1;
    return isFirst || this.#slow >= SLOW_POLLS;
  }
}
