/**
 * Notices that the homeserver was restored from a backup (T3), and has accounts synced from scratch.
 *
 *     start, gap ──before what is polled then is stored──> accounts with the newest events are chosen ──> the homeserver is asked for those events
 *       an account whose five newest it does not know, of rooms where it has the user: found        three found: all accounts
 *
 * An account whose polls end before their `since` is found too (setbacks.ts). What was chosen and found is in the database, so that it outlives
 * restarts, and is so for all processes.
 */

import type { Logger } from "../base/logger.ts";
import type { SecretBox } from "../base/secret-box.ts";
import type { Sql } from "../store/db.ts";
import {
  type AccountDevice,
  chooseProbes,
  claimProbe,
  endProbe,
  endSample,
  foundByPoll,
  foundByProbe,
  type Probe,
  restoreAll,
  restoredDevices,
} from "../store/restores.ts";
import type { Lease } from "../store/leases.ts";
import { openToken } from "../store/tokens.ts";
import type { AccountNo } from "../wire/ids.ts";
import { isCutKey } from "../wire/index-key.ts";
import type { HomeserverClient } from "./client.ts";
import { knowsAny } from "./known-events.ts";
import type { QuestionBudget } from "./reconcile/question-budget.ts";
import { isHomeserverTrouble, UpstreamError } from "./upstream-error.ts";

export type RestoreWatchDeps = {
  readonly sql: Sql;
  readonly client: Pick<HomeserverClient, "event" | "joinedRooms">;
  readonly box: SecretBox;
  readonly logger: Pick<Logger, "info" | "warn">;
  readonly questions: Pick<QuestionBudget, "ask">;
  /** ms; only differences count. */
  readonly now: () => number;
  /** Called for devices of accounts that are polled here and are to be synced from scratch, until that has begun. */
  readonly restored: (device: AccountDevice) => void;
};

/** The account's newest events: if it knows none of so many, it was restored. */
const NEEDED = 5;
/** More accounts than are asked about if none is found, and more events than are needed: rooms may be gone. */
const SAMPLE = { accounts: 12, needed: NEEDED, events: 20 };
/** No second sample is chosen so soon, ms. */
const REST_MS = 600_000;
/** `first`: how many are asked about if none is found. `ms`: after trouble of the homeserver an account is asked about again. */
const CLAIM = { first: 4, ms: 60_000 };

export class RestoreWatch {
  readonly #deps: RestoreWatchDeps;
  #chosen: { readonly at: number; readonly done: Promise<void> } | null = null;

  constructor(deps: RestoreWatchDeps) {
    this.#deps = deps;
  }

  /** An account is polled again after a start or a long gap: call it before the answer is stored. */
  choose(): Promise<void> {
    const { sql, now } = this.#deps;
    if (this.#chosen && now() - this.#chosen.at < REST_MS) return this.#chosen.done;
    const chosen = { at: now(), done: chooseProbes(sql, SAMPLE) };
    this.#chosen = chosen;
    chosen.done.catch(() => {
      if (this.#chosen === chosen) this.#chosen = null;
    });
    return chosen.done;
  }

  /** A poll of the device, which continued from `deviceSince`, shows that its homeserver was restored: its account is synced from scratch. `how`: see Setbacks. */
  async foundByPoll(polled: AccountDevice, deviceSince: string | null, how: "restored" | "behind"): Promise<void> {
    if (await foundByPoll(this.#deps.sql, polled, { deviceSince, counts: how === "restored" })) this.#logFound(polled.account);
    await this.#spread();
  }

  /** Asks about the accounts that were chosen, until the homeserver is in trouble. `leases`: of the accounts that are polled here. */
  async run(leases: readonly Lease[], signal: AbortSignal): Promise<void> {
    await this.#ask(signal);
    const accounts = leases.map(({ account }) => account);
    for (const device of await restoredDevices(this.#deps.sql, accounts)) this.#deps.restored(device);
  }

  async #ask(signal: AbortSignal): Promise<void> {
    const { sql } = this.#deps;
    // oxlint-disable no-await-in-loop -- one account at a time
    for (let probe = await claimProbe(sql, CLAIM); probe && !signal.aborted; probe = await claimProbe(sql, CLAIM)) {
      const { account } = probe;
      try {
        if (!(await this.#isRestored(probe, signal))) await endProbe(sql, account);
        else if (await foundByProbe(sql, account)) this.#logFound(account);
      } catch (error) {
        if (signal.aborted || !(error instanceof UpstreamError)) throw error;
        if (isHomeserverTrouble(error)) return;
        await endProbe(sql, account);
      }
      await this.#spread();
    }
    // oxlint-enable no-await-in-loop
    await endSample(sql, CLAIM.first);
    // Whoever found the third account may have died before this.
    await this.#spread();
  }

  async #isRestored(probe: Probe, signal: AbortSignal): Promise<boolean> {
    const { client, box, questions } = this.#deps;
    const token = openToken(box, probe);
    // All clients are concerned.
    const ask = <T>(question: () => Promise<T>) => questions.ask("client", signal, question);
    const listed = new Set(await ask(() => client.joinedRooms(token, signal)));
    const events = probe.events.filter(([roomId, eventId]) => listed.has(roomId) && !isCutKey(eventId)).slice(0, NEEDED);
    return events.length === NEEDED && !(await knowsAny({ event: (...event) => ask(() => client.event(...event)) }, token, events, signal));
  }

  #logFound(account: AccountNo): void {
    this.#deps.logger.warn({ account }, "The homeserver was restored from a backup; the account is synced from scratch");
  }

  async #spread(): Promise<void> {
    const accounts = await restoreAll(this.#deps.sql);
    if (accounts > 0)
      this.#deps.logger.warn({ accounts }, "The homeserver was restored from a backup; all accounts are synced from scratch, one after another");
  }
}
