/** Ends the poll that is under way, so that another one can be sent at once. */

export class PollSignal {
  #current = new AbortController();
  #isFirst = false;

  /** A poll begins. `isFirst`: it is an account's first sync, which may take minutes. */
  begin(isFirst: boolean): AbortSignal {
    this.#current = new AbortController();
    this.#isFirst = isFirst;
    return this.#current.signal;
  }

  cut(reason: string): void {
    this.#current.abort(new Error(reason));
  }

  /** Ends it unless it is a first sync, which would start over. */
  cutUnlessFirst(reason: string): void {
    if (!this.#isFirst) this.cut(reason);
  }
}
