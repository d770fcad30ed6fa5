/** An account whose polls fail: what is logged for the operator, and how often (N7). */

import { needOf } from "../base/database-needs.ts";
import type { Logger } from "../base/logger.ts";
import type { Sql } from "../store/db.ts";
import { noteTrouble } from "../store/poll-troubles.ts";
import type { AccountNo } from "../wire/ids.ts";
import { UpstreamError } from "./upstream-error.ts";

/** By reason, what the operator can do. */
const REMEDIES: Readonly<Record<string, string>> = {
  unreachable: "check that the homeserver is running and can be reached at -server",
  timed_out: "the homeserver takes too long: check its load and its log",
  rate_limited: "exempt this server from the homeserver's rate limits, or raise them",
  locked: "the homeserver has locked the account; polling continues, to notice when it is unlocked",
  forbidden: "the homeserver refuses the account",
  rejected: "the homeserver answers with errors: see its log",
  bad_answer: "the server at -server is not a Matrix homeserver, or a proxy changes its answers",
  too_large: "raise -max-sync-bytes",
  connection: "check that PostgreSQL is running and accepts connections",
  disk: "PostgreSQL's disk is full or failing",
  locks: "another session holds locks in the database: see pg_locks",
  rights: "the database role must own the tables: grant it the missing privileges",
  read_only: "the database is read-only: give the primary server in -db",
  shutdown: "PostgreSQL is starting or stopping",
  unknown: "its answer cannot be stored: see the log, and please report it",
};

/** How often it is recorded at most, ms. */
const NOTE_MS = 60_000;
/** When the log reports it first, and how often after that, ms. */
const LOG_MS = { first: 600_000, again: 3_600_000 };

export class PollTrouble {
  readonly #sql: Sql;
  readonly #logger: Pick<Logger, "error">;
  readonly #now: () => number;
  #since: number | null = null;
  #notedAt = -Infinity;
  #loggedAt = -Infinity;

  /** @param now ms; only differences count */
  constructor(sql: Sql, logger: Pick<Logger, "error">, now: () => number) {
    this.#sql = sql;
    this.#logger = logger;
    this.#now = now;
  }

  /** A poll has succeeded. */
  ended(): void {
    this.#since = null;
    this.#notedAt = -Infinity;
    this.#loggedAt = -Infinity;
  }

  /** A poll has failed. Never rejects: what cannot be recorded now is recorded next time. */
  async failed(names: { readonly account: AccountNo }, error: unknown): Promise<void> {
    const now = this.#now();
    this.#since ??= now;
    const reason = error instanceof UpstreamError ? error.kind : needOf(error);
    if (now - this.#since >= LOG_MS.first && now - this.#loggedAt >= LOG_MS.again) {
      this.#loggedAt = now;
      const minutes = Math.round((now - this.#since) / 60_000);
      this.#logger.error({ ...names, reason, minutes }, `The account makes no progress: ${REMEDIES[reason] ?? "see the log"}`);
    }
    // An answer that cannot be stored is recorded by Suspects, with the statement.
    if (reason === "unknown" || now - this.#notedAt < NOTE_MS) return;
    this.#notedAt = now;
    await noteTrouble(this.#sql, names.account, reason, "").catch(() => {});
  }
}
