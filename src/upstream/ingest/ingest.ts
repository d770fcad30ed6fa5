/**
 * v2 responses become rows. Each is one batch of its account: a crash leaves all of it or nothing. Batches of several accounts that arrive
 * at the same time are stored in one transaction, with one statement per table: that costs little more than a single batch.
 */

import { needOf } from "../../base/database-needs.ts";
import { Gathered } from "../../base/gathered.ts";
import type { Logger } from "../../base/logger.ts";
import type { Metrics } from "../../base/metrics.ts";
import { traced } from "../../base/tracing.ts";
import type { Sql } from "../../store/db.ts";
import { writeTx } from "../../store/db.ts";
import type { Busy } from "../../store/ingest/device.ts";
import { cutResponse } from "../../wire/v2-response.ts";
import { failureOf } from "./failure.ts";
import type { IngestInput, IngestResult } from "./ingest-result.ts";
import { storeWithout } from "./set-aside.ts";
import { type Job, jobOf } from "./job.ts";
import { storeJobs } from "./store-jobs.ts";
import { Suspects, SUSPECTS_DEFAULTS, type SuspectsOptions } from "./suspects.ts";

export type IngestDeps = {
  readonly sql: Sql;
  readonly metrics?: Pick<Metrics, "committed" | "ingested">;
  readonly logger?: Pick<Logger, "error">;
  /** Overrides when an answer that cannot be stored is blamed for it. */
  readonly suspects?: Partial<SuspectsOptions>;
};

/** Transactions at the same time: while one waits for the disk, the next one is prepared. */
const LANES = 2;
/** Most responses in one transaction; and above how many characters a response would make the others wait too long. */
const MOST = 64;
const LARGE = 200_000;

export class Ingester {
  readonly #sql: Sql;
  readonly #metrics: IngestDeps["metrics"];
  readonly #suspects: Suspects;
  readonly #together: Gathered<Job, IngestResult | "busy">;

  constructor(deps: IngestDeps) {
    this.#sql = deps.sql;
    this.#metrics = deps.metrics;
    this.#suspects = new Suspects(deps.sql, deps.logger, { ...SUSPECTS_DEFAULTS, ...deps.suspects });
    this.#together = new Gathered((jobs) => this.#store(jobs, jobs.length > 1 ? "skip" : "wait"), {
      lanes: LANES,
      most: MOST,
      keyOf: ({ input }) => input.account,
    });
  }

  /**
   * Stores one v2 response: a crash leaves all of it or nothing (B8, B26), and the same response again is stale.
   * @throws BadResponse if the text is not a v2 response; the database's error if it could not be asked
   */
  async ingest(input: IngestInput): Promise<IngestResult> {
    const startedAt = performance.now();
    const result = await this.#ingest(input);
    const gaps = result.kind === "stored" ? result.gaps : 0;
    this.#metrics?.ingested(result.kind === "stored" && result.setAside ? "set_aside" : result.kind, performance.now() - startedAt, gaps);
    return result;
  }

  async #ingest(input: IngestInput): Promise<IngestResult> {
    const cut = cutResponse(input.text, input.now);
    // An answer that was requested without rooms may still name some, with nothing in them.
    const job = jobOf(input, input.toRead ? { ...cut, join: new Map() } : cut);
    try {
      const goesAlone = input.text.length > LARGE || job.rounds.length > 1;
      const result = goesAlone ? "busy" : await this.#together.ask(job);
      const stored = result === "busy" ? await this.#alone(job) : result;
      await this.#suspects.passed(input.account);
      return stored;
    } catch (error) {
      if (needOf(error) !== "unknown") throw error;
      const failure = failureOf(error);
      if (!(await this.#suspects.isRipe(input, failure))) throw error;
      const result = await storeWithout(this.#sql, job, { error, failure });
      await this.#suspects.passed(input.account);
      return result;
    }
  }

  async #store(jobs: readonly Job[], busy: Busy): Promise<(IngestResult | "busy")[]> {
    const startedAt = performance.now();
    const results = await traced("store", () => writeTx(this.#sql, (tx) => storeJobs(tx, jobs, busy)), { responses: jobs.length });
    this.#metrics?.committed(jobs.length, performance.now() - startedAt);
    return results;
  }

  /** Stores it in a separate transaction, which waits for other transactions that have locked the account. */
  async #alone(job: Job): Promise<IngestResult> {
    const [result] = await this.#store([job], "wait");
    if (result === undefined || result === "busy") throw new Error("no result of a single response");
    return result;
  }
}
