/** How fast the homeserver is asked what no answer waits for: one rate for all processes (T1). */

import { sleep } from "../../base/abort.ts";
import { WaitingLine } from "../../base/waiting-line.ts";
import type { Db } from "../../store/db.ts";
import { halveQuestions, reserveQuestion } from "../../store/question-rate.ts";
import { isHomeserverTrouble, UpstreamError } from "../upstream-error.ts";

export type QuestionBudgetOptions = {
  readonly sql: Db;
  /** Questions a second, over all processes. Default 5. */
  readonly perSecond?: number | undefined;
};

/** For whom a question is: a client that is here, or nobody in particular. */
export type Urgency = "client" | "nobody";

const PER_SECOND = 5;
/** Of so many questions one is for nobody in particular even if clients wait: there may be clients for hours. */
const SHARE = 4;

export class QuestionBudget {
  readonly #options: QuestionBudgetOptions;
  /** For questions. */
  readonly #waiting = new WaitingLine<void, Urgency>(() => this.#idle?.abort());
  /** Questions that were asked. */
  #asked = 0;
  /** Ends the wait for the next question; null: nobody waits. */
  #idle: AbortController | null = null;

  constructor(options: QuestionBudgetOptions) {
    this.#options = options;
  }

  /**
   * Waits until one more question may be asked.
   * @throws the signal's reason, or the database's error
   */
  take(urgency: Urgency, signal: AbortSignal): Promise<void> {
    const turn = this.#waiting.join(urgency, signal);
    if (this.#idle === null) void this.#serve();
    return turn;
  }

  /** Asks when it may; trouble at the homeserver halves the rate. Rejects as the question does, or as `take`. */
  async ask<T>(urgency: Urgency, signal: AbortSignal, question: () => Promise<T>): Promise<T> {
    await this.take(urgency, signal);
    try {
      return await question();
    } catch (error) {
      if (!signal.aborted && error instanceof UpstreamError && isHomeserverTrouble(error)) await halveQuestions(this.#options.sql);
      throw error;
    }
  }

  /** One question after the other goes to whoever is first when it may be asked. */
  async #serve(): Promise<void> {
    const { sql, perSecond = PER_SECOND } = this.#options;
    for (; this.#next(); this.#idle = null) {
      const idle = new AbortController();
      this.#idle = idle;
      try {
        // oxlint-disable-next-line no-await-in-loop -- one after the other
        const wait = await reserveQuestion(sql, perSecond);
        // oxlint-disable-next-line no-await-in-loop -- as above
        if (wait > 0) await sleep(wait, idle.signal);
        this.#asked += 1;
        this.#next()?.go();
      } catch (error) {
        if (!idle.signal.aborted) this.#next()?.fail(error);
      }
    }
  }

  #next() {
    const waiting = [...this.#waiting];
    const [client, nobody] = (["client", "nobody"] as const).map((urgency) => waiting.find(({ about }) => about === urgency));
    return this.#asked % SHARE === 0 ? (nobody ?? client) : (client ?? nobody);
  }
}
