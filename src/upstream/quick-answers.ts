/** A homeserver that answers long polls at once, with nothing new, must not be asked in a tight loop. */

/** An answer that came sooner counts as quick, ms. */
const QUICK_MS = 1000;
/** So many in a row are not slowed down. */
const FREE = 3;
const LONGEST_REST_MS = 1000;

export class QuickAnswers {
  #inARow = 0;

  /** A poll was answered after `ms`. `isEmptyLongPoll`: it could have waited for news, and brought none. Milliseconds to wait before the next one. */
  restAfter(isEmptyLongPoll: boolean, ms: number): number {
    this.#inARow = isEmptyLongPoll && ms < QUICK_MS ? this.#inARow + 1 : 0;
    return this.#inARow > FREE ? Math.min(LONGEST_REST_MS, 10 * 2 ** Math.min(this.#inARow, 10)) : 0;
  }
}
