/** When a poller polls the account's rooms again after a start or a long time without: what v2 does not tell may have happened (T1, T3). */

import type { AccountNo } from "../wire/ids.ts";
import type { PollerDeps } from "./poller-types.ts";

/** Without polls for so long, ms. */
const GAP_MS = 600_000;

type Deps = Pick<PollerDeps, "now" | "leases" | "pollingGap" | "restores">;

export class PollingGaps {
  readonly #deps: Deps;
  readonly #account: AccountNo;
  #isFirst = true;
  /** When a poll of the rooms last succeeded; at first, when this began. */
  #polledAt: number;

  constructor(deps: Deps, account: AccountNo) {
    this.#deps = deps;
    this.#account = account;
    this.#polledAt = deps.now();
  }

  get polledAt() {
    return this.#polledAt;
  }

  /** Call it before what such a poll has brought is stored. */
  async answered(): Promise<void> {
    if (this.#isFirst || this.#deps.now() - this.#polledAt > GAP_MS) await this.#deps.restores.choose();
    this.#isFirst = false;
  }

  /** What it has brought is stored. */
  succeeded(): void {
    const { now, leases, pollingGap } = this.#deps;
    const before = this.#polledAt;
    this.#polledAt = now();
    leases.polled(this.#account, this.#polledAt);
    if (this.#polledAt - before > GAP_MS) pollingGap(this.#account);
  }
}
