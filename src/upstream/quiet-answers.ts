/**
 * Nearly all answers to the polls of an idle account have the same content and change nothing. Storing each would be a transaction, so after
 * the first of them they are not stored. If the process ends, only the point where they ended is lost, and a poll from before them brings
 * nothing more.
 */

import type { HomeserverAnswer } from "./client.ts";

/** How old the stored `since` may become, ms: a poll from it must stay as quick as one from the latest. */
const STORE_MS = 300_000;
/** Longer answers are assumed to bring something new, characters. */
const LONGEST = 1000;

type AnswerContent = { readonly nextBatch: string; readonly rest: string };

export class QuietAnswers {
  readonly #now: () => number;
  /** The last answer that was stored, if it changed nothing. `rooms`: whether its poll had rooms. */
  #last: { readonly rooms: boolean; readonly rest: string; readonly storedAt: number } | null = null;

  /** @param now ms; only differences count */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** The end of the answer if it has the same content as the last one; null: it has to be stored. */
  repeated(answer: HomeserverAnswer, rooms: boolean): string | null {
    const last = this.#last;
    if (last?.rooms !== rooms || this.#now() - last.storedAt >= STORE_MS) return null;
    const content = contentOf(answer);
    return content?.rest === last.rest ? content.nextBatch : null;
  }

  /** The next answer has to be stored. */
  forget(): void {
    this.#last = null;
  }

  /** The answer was stored. */
  stored(answer: HomeserverAnswer, rooms: boolean, changedNothing: boolean): void {
    const content = changedNothing ? contentOf(answer) : null;
    this.#last = content && { rooms, rest: content.rest, storedAt: this.#now() };
  }
}

/** null: it is long, or not a v2 answer. */
function contentOf({ text }: HomeserverAnswer): AnswerContent | null {
  if (text.length > LONGEST) return null;
  try {
    const { next_batch: nextBatch, ...rest } = JSON.parse(text) as Record<string, unknown>;
    return typeof nextBatch === "string" ? { nextBatch, rest: JSON.stringify(rest) } : null;
  } catch {
    return null;
  }
}
