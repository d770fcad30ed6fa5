/** Questions to the homeserver, at the rate that all processes share (question-budget.ts). */

import type { Sql } from "../../store/db.ts";
import { pollingProcesses } from "../../store/room-checks.ts";
import { isHomeserverTrouble, UpstreamError } from "../upstream-error.ts";
import { QuestionBudget, type QuestionBudgetOptions } from "./question-budget.ts";

export class Questions {
  readonly #sql: Sql;
  readonly #budget: QuestionBudget;

  constructor(sql: Sql, options: QuestionBudgetOptions) {
    this.#sql = sql;
    this.#budget = new QuestionBudget(options);
  }

  /** Asks when it may. Rejects as the question does, or with the signal's reason. */
  async ask<T>(signal: AbortSignal, question: () => Promise<T>): Promise<T> {
    await this.#budget.take(await pollingProcesses(this.#sql), signal);
    try {
      return await question();
    } catch (error) {
      if (!signal.aborted && error instanceof UpstreamError && isHomeserverTrouble(error)) this.#budget.troubled();
      throw error;
    }
  }
}
