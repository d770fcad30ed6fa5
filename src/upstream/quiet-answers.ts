/**
 * Nearly all answers to the polls of an idle account say the same and change nothing. Each would be a transaction: after the first of them
 * they are not stored. What is lost with the process is the place where they ended, and a poll from before them gets nothing more.
 */

import type { HomeserverAnswer } from "./client.ts";

/** How old the stored place may become, ms: a poll that begins there is to be as quick as one that goes on. */
const STORE_PLACE_MS = 300_000;
/** Longer answers are taken to say something, characters. */
const LONGEST = 1000;

type Said = { readonly nextBatch: string; readonly rest: string };

export class QuietAnswers {
  readonly #now: () => number;
  /** The last answer that was stored, if it changed nothing. `rooms`: of the poll that it was the answer to. */
  #last: { readonly rooms: boolean; readonly rest: string; readonly storedAt: number } | null = null;

  /** @param now ms; only differences count */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** Where the answer ends, if it says no more than the last one; null: it has to be stored. */
  repeated(answer: HomeserverAnswer, rooms: boolean): string | null {
    const last = this.#last;
    if (last?.rooms !== rooms || this.#now() - last.storedAt >= STORE_PLACE_MS) return null;
    const said = saidOf(answer);
    return said?.rest === last.rest ? said.nextBatch : null;
  }

  /** The next answer has to be stored. */
  forget(): void {
    this.#last = null;
  }

  /** It was stored. */
  stored(answer: HomeserverAnswer, rooms: boolean, changedNothing: boolean): void {
    const said = changedNothing ? saidOf(answer) : null;
    this.#last = said && { rooms, rest: said.rest, storedAt: this.#now() };
  }
}

/** null: it is long, or no v2 answer. */
function saidOf({ text }: HomeserverAnswer): Said | null {
  if (text.length > LONGEST) return null;
  try {
    const { next_batch: nextBatch, ...rest } = JSON.parse(text) as Record<string, unknown>;
    return typeof nextBatch === "string" ? { nextBatch, rest: JSON.stringify(rest) } : null;
  } catch {
    return null;
  }
}
