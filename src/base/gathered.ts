/**
 * Batching of work that costs about as much for many requests as for one: requests made while a run is under way are collected and go into
 * the next run. A request that finds no run under way is served at once.
 */

export type GatheredOptions<Ask> = {
  /** Most runs at the same time. */
  readonly lanes?: number;
  /** Most requests in one run. */
  readonly most?: number;
  /** Two requests with the same key never share a run. Default: they may. */
  readonly keyOf?: (ask: Ask) => unknown;
};

type WaitingAsk<Ask, Answer> = { readonly ask: Ask; readonly resolve: (answer: Answer) => void; readonly reject: (error: unknown) => void };

export class Gathered<Ask, Answer> {
  readonly #run: (asks: readonly Ask[]) => Promise<readonly Answer[]>;
  readonly #options: Required<Omit<GatheredOptions<Ask>, "keyOf">> & Pick<GatheredOptions<Ask>, "keyOf">;
  #waiting: WaitingAsk<Ask, Answer>[] = [];
  #running = 0;
  #scheduled = false;

  /** @param run answers the requests in their order. If it fails for several together, it runs again for each of them alone. */
  constructor(run: (asks: readonly Ask[]) => Promise<readonly Answer[]>, options: GatheredOptions<Ask> = {}) {
    this.#run = run;
    this.#options = { lanes: 1, most: 100, ...options };
  }

  ask(ask: Ask): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ask, resolve, reject });
      if (this.#scheduled || this.#running >= this.#options.lanes) return;
      // Requests made in the same turn of the event loop share a run.
      this.#scheduled = true;
      setImmediate(() => {
        this.#scheduled = false;
        this.#start();
      });
    });
  }

  #start(): void {
    while (this.#waiting.length > 0 && this.#running < this.#options.lanes) {
      this.#running += 1;
      void this.#serve(this.#next()).finally(() => {
        this.#running -= 1;
        this.#start();
      });
    }
  }

  #next(): WaitingAsk<Ask, Answer>[] {
    const { most, keyOf } = this.#options;
    if (!keyOf && this.#waiting.length <= most) {
      const all = this.#waiting;
      this.#waiting = [];
      return all;
    }
    const keys = new Set<unknown>();
    const [batch, later]: [WaitingAsk<Ask, Answer>[], WaitingAsk<Ask, Answer>[]] = [[], []];
    for (const waiting of this.#waiting) {
      const key = keyOf ? keyOf(waiting.ask) : waiting;
      if (batch.length >= most || keys.has(key)) later.push(waiting);
      else {
        keys.add(key);
        batch.push(waiting);
      }
    }
    this.#waiting = later;
    return batch;
  }

  async #serve(batch: readonly WaitingAsk<Ask, Answer>[]): Promise<void> {
    let answers: readonly Answer[];
    try {
      answers = await this.#run(batch.map((waiting) => waiting.ask));
    } catch (error) {
      if (batch.length === 1) batch[0]?.reject(error);
      // One request's failure must not fail the others.
      else await Promise.all(batch.map((waiting) => this.#serve([waiting])));
      return;
    }
    for (const [index, waiting] of batch.entries()) {
      if (index < answers.length) waiting.resolve(answers[index] as Answer);
      else waiting.reject(new Error("a run gave too few answers"));
    }
  }
}
