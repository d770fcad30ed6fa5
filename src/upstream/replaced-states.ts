/**
 * Fetches in the background what events of timelines replaced, if a room came with the state after its timeline and no answer brought that state:
 * it changed in a gap, or before the user joined (T21). Only the state before such a timeline lacks it until then (S4), and for good if the process ends.
 */

import type { Logger } from "../base/logger.ts";
import type { SecretBox } from "../base/secret-box.ts";
import type { Sql } from "../store/db.ts";
import { liveToken } from "../store/fetch-start.ts";
import type { ReplacedState } from "../store/ingest/replaced.ts";
import { openToken } from "../store/tokens.ts";
import type { AccountNo } from "../wire/ids.ts";
import type { HomeserverClient } from "./client.ts";
import { learnReplaced } from "./ingest/learn-replaced.ts";
import type { QuestionBudget } from "./reconcile/question-budget.ts";
import { isNotThere } from "./upstream-error.ts";

export type ReplacedStatesDeps = {
  readonly sql: Sql;
  readonly client: Pick<HomeserverClient, "event">;
  readonly box: SecretBox;
  readonly logger: Pick<Logger, "info">;
  readonly questions: Pick<QuestionBudget, "ask">;
  readonly now: () => number;
};

/** Most events that are fetched for one answer. */
const MOST = 20;

export class ReplacedStates {
  readonly #deps: ReplacedStatesDeps;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();

  constructor(deps: ReplacedStatesDeps) {
    this.#deps = deps;
  }

  /** Begins to fetch them; nobody waits. */
  begin(account: AccountNo, replaced: readonly ReplacedState[]): void {
    if (replaced.length === 0 || this.#stop.signal.aborted) return;
    const work = this.#run(account, replaced.slice(0, MOST))
      .catch((error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        if (!this.#stop.signal.aborted) this.#deps.logger.info({ account, reason }, "State before a timeline could not be fetched");
      })
      .finally(() => this.#running.delete(work));
    this.#running.add(work);
  }

  /** Ends what is under way. */
  async close(): Promise<void> {
    this.#stop.abort(new Error("stopping"));
    await Promise.allSettled(this.#running);
  }

  async #run(account: AccountNo, states: readonly ReplacedState[]): Promise<void> {
    const { sql, client, box, questions, now } = this.#deps;
    const { signal } = this.#stop;
    const sealed = await liveToken(sql, account);
    if (!sealed) return;
    const token = openToken(box, sealed);
    for (const replaced of states) {
      const ask = () => client.event(token, replaced.room_id, replaced.event_id, signal);
      // oxlint-disable-next-line no-await-in-loop -- in the background there is no hurry
      const answer = await questions.ask("client", signal, ask).catch((error: unknown) => {
        if (!isNotThere(error)) throw error;
        return null;
      });
      // oxlint-disable-next-line no-await-in-loop
      if (answer) await learnReplaced(sql, { account, replaced, text: answer.text, now: now() });
    }
  }
}
