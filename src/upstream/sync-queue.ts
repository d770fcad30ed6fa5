/**
 * Syncs without `since` after the homeserver was restored from a backup (T3): few at a time over all processes, those of accounts with a client
 * first. A sync costs the homeserver nearly as much as a first one, and all accounts may need one.
 */

import { sleep } from "../base/abort.ts";
import { WaitingLine } from "../base/waiting-line.ts";
import type { Sql } from "../store/db.ts";
import { freeSyncSlot, SYNC_SLOT_MS, takeSyncSlot } from "../store/room-checks.ts";
import type { AccountNo } from "../wire/ids.ts";

export type SyncQueueDeps = {
  readonly sql: Sql;
  /** Whether a client of the account was here. */
  readonly isPresent: (account: AccountNo) => boolean;
};

/** While all places are taken, how often to look whether another process has freed one, ms. */
const LOOK_MS = 1000;

export class SyncQueue {
  readonly #deps: SyncQueueDeps;
  /** For places. */
  readonly #waiting = new WaitingLine<number, AccountNo>(() => this.#idle?.abort());
  /** Ends the pause before the next look for a free place; null: nobody waits. */
  #idle: AbortController | null = null;

  constructor(deps: SyncQueueDeps) {
    this.#deps = deps;
  }

  /**
   * Runs `sync` when it is the account's turn.
   * @throws the signal's reason if it aborts before
   */
  async run<T>(account: AccountNo, signal: AbortSignal, sync: () => Promise<T>): Promise<T> {
    const slot = await this.#take(account, signal);
    try {
      return await sync();
    } finally {
      // If the database is away: it is free again some time later.
      await freeSyncSlot(this.#deps.sql, slot).catch(() => {});
      this.#idle?.abort();
    }
  }

  #take(account: AccountNo, signal: AbortSignal): Promise<number> {
    const slot = this.#waiting.join(account, signal);
    if (this.#idle === null) void this.#serve();
    return slot;
  }

  async #serve(): Promise<void> {
    const { sql } = this.#deps;
    for (; this.#waiting.size > 0; this.#idle = null) {
      const idle = new AbortController();
      this.#idle = idle;
      // oxlint-disable-next-line no-await-in-loop -- one place after the other; the database may be away
      const slot = await takeSyncSlot(sql, SYNC_SLOT_MS).catch(() => null);
      const next = this.#next();
      // oxlint-disable no-await-in-loop -- as above
      if (slot === null) await sleep(LOOK_MS, idle.signal).catch(() => {});
      else if (next) next.go(slot);
      else await freeSyncSlot(sql, slot).catch(() => {});
      // oxlint-enable no-await-in-loop
    }
  }

  #next() {
    const [first] = this.#waiting;
    return [...this.#waiting].find(({ about: account }) => this.#deps.isPresent(account)) ?? first;
  }
}
