/**
 * When an answer may be blamed for not being stored (N3): it fails again and again, for long enough that every account has had an answer
 * since, and few accounts fail in the same way. If many do, the breaker is open: no answer is set aside, and all wait.
 */

import type { Logger } from "../../base/logger.ts";
import type { Sql } from "../../store/db.ts";
import { countAlike, endTrouble, noteTrouble } from "../../store/poll-troubles.ts";
import type { AccountNo } from "../../wire/ids.ts";
import type { Failure } from "./failure.ts";
import { describe } from "./failure.ts";
import type { IngestInput } from "./ingest-result.ts";

export type SuspectsOptions = {
  /** How often an answer has to fail. */
  readonly tries: number;
  /**
   * And for how long, ms: a long poll of every other account ends within this time, so that our own fault shows in many accounts before it
   * costs one account data.
   */
  readonly patienceMs: number;
};

export const SUSPECTS_DEFAULTS: SuspectsOptions = { tries: 3, patienceMs: 30_000 };

/** How often the log reports that the breaker is open, ms. */
const LOG_MS = 600_000;

type Suspect = { readonly since: string | null; readonly firstAt: number; readonly tries: number };

export class Suspects {
  readonly #sql: Sql;
  readonly #logger: Pick<Logger, "error"> | undefined;
  readonly #options: SuspectsOptions;
  readonly #now: () => number;
  readonly #suspects = new Map<AccountNo, Suspect>();
  #loggedAt = -Infinity;

  /** @param now ms; only differences count */
  constructor(sql: Sql, logger: Pick<Logger, "error"> | undefined, options: SuspectsOptions, now: () => number = () => performance.now()) {
    this.#sql = sql;
    this.#logger = logger;
    this.#options = options;
    this.#now = now;
  }

  /** The account's answer was stored. */
  async passed(account: AccountNo): Promise<void> {
    if (this.#suspects.delete(account)) await endTrouble(this.#sql, account, "content");
  }

  /** Records that an answer failed for a reason other than the database's needs. True: it may be blamed now. */
  async isRipe(input: IngestInput, failure: Failure): Promise<boolean> {
    const { account } = input;
    const since = input.rooms ? input.accountSince : input.deviceSince;
    const known = this.#suspects.get(account);
    const before = known?.since === since ? known : { since, firstAt: this.#now(), tries: 0 };
    const suspect = { ...before, tries: before.tries + 1 };
    this.#suspects.set(account, suspect);
    const detail = describe(failure);
    await noteTrouble(this.#sql, account, "content", detail);
    if (suspect.tries < this.#options.tries || this.#now() - suspect.firstAt < this.#options.patienceMs) return false;
    const { accounts, allowed } = await countAlike(this.#sql, detail);
    if (accounts <= allowed) return true;
    this.#logOpenBreaker(detail, accounts);
    return false;
  }

  #logOpenBreaker(failure: string, accounts: number): void {
    if (this.#now() - this.#loggedAt < LOG_MS) return;
    this.#loggedAt = this.#now();
    this.#logger?.error(
      { failure, accounts },
      "Answers of many accounts cannot be stored for the same reason: the database schema or this version is at fault. The answers wait; nothing is set aside",
    );
  }
}
