/**
 * How much a poll asks for (N4). An answer that is too large, or takes too long, is requested again with less:
 *
 *     full ──fails──> short ──fails──> bare ──fails──> full again, after a rest
 *
 * full: timelines as usual. short: one event per room. bare: only invites and left rooms; the joined ones are then read one by one. After a
 * success the next poll is a full one. Such a descent costs the homeserver as much as three first syncs, so an account has at most one in 10
 * minutes, then in 20, up to 6 hours, until a full poll succeeds.
 */

import { UpstreamError } from "./upstream-error.ts";

export type SyncSize = "full" | "short" | "bare";

const LESS: Readonly<Record<SyncSize, SyncSize>> = { full: "short", short: "bare", bare: "full" };
const REST_MS = { first: 600_000, last: 6 * 3_600_000 };
/** If this many polls from a `since` time out in a row, they are assumed to ask for too much; fewer, to have met a slow moment. */
const SLOW_POLLS = 3;
/** What a reverse proxy answers if the homeserver takes too long for it. */
const GATEWAY_TIMEOUTS: readonly unknown[] = [504, 524];

export class SizeSteps {
  readonly #now: () => number;
  #size: SyncSize = "full";
  /** How often less was requested since a full poll succeeded. */
  #descents = 0;
  /** Until then nothing less is requested again. */
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

  /** A poll has failed. Returns milliseconds until the next one, 0 meaning at once with less; null: its size is not to blame. */
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
