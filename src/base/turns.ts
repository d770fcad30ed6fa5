/** Costly work of an owner, one piece after another: whoever asks for much at once takes the place of one among the others (N10). */

export class Turns<Owner> {
  /** By owner, when everything that was asked for so far is done. */
  readonly #last = new Map<Owner, Promise<unknown>>();

  /** Runs `work` after everything that this owner asked for before it, whether that failed or not. */
  run<T>(owner: Owner, work: () => Promise<T>): Promise<T> {
    const before = this.#last.get(owner) ?? Promise.resolve();
    const mine = before.then(work, work);
    const done = mine
      .catch(() => {})
      .finally(() => {
        if (this.#last.get(owner) === done) this.#last.delete(owner);
      });
    this.#last.set(owner, done);
    return mine;
  }

  /** Owners with work that is not done. */
  get size(): number {
    return this.#last.size;
  }
}
