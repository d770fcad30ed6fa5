/** What a consumer has had of numbered things: which are missing, came twice, or came before one that they follow. */

export type Item = { readonly content: { readonly [key: string]: unknown } };
export type Kind = "to-device" | "events";
export type Count = { readonly through: number; readonly lost: number; readonly doubled: number; readonly disordered: number };

export class Tally {
  /** Whole answers. */
  answers = 0;
  /** Requests that broke or were refused for now. */
  interrupted = 0;
  /** Connections that had to begin anew. */
  begunAnew = 0;
  readonly #had = { "to-device": new Kept(), events: new Kept() };

  take(kind: Kind, n: number): void {
    this.#had[kind].take(n);
  }

  /** The highest number; -1 of none. */
  last(kind: Kind): number {
    return this.#had[kind].last;
  }

  /** Whether all of the first `count` have come. */
  hasAll(count: number): boolean {
    return this.#had["to-device"].numbers.size >= count && this.#had.events.numbers.size >= count;
  }

  /** How the first `count` have come. */
  count(kind: Kind, count: number): Count {
    const { numbers, doubled, disordered } = this.#had[kind];
    return { through: numbers.size, lost: count - numbers.size, doubled, disordered };
  }
}

class Kept {
  readonly numbers = new Set<number>();
  last = -1;
  doubled = 0;
  disordered = 0;

  take(n: number): void {
    if (this.numbers.has(n)) this.doubled += 1;
    else if (n < this.last) this.disordered += 1;
    this.numbers.add(n);
    this.last = Math.max(this.last, n);
  }
}
