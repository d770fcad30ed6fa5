/** When accounts' rooms are to be compared with the homeserver's (T1), each request at most once a minute. */

import { LRUCache } from "lru-cache";
import type { AccountNo } from "../../wire/ids.ts";

/**
 * Within, ms. `opened`: after the first request of a device or connection, with the second look well within a minute. `gap`: after a start or a gap in
 * polling, if a client is here.
 */
const CHECK_MS = { opened: 15_000, gap: 600_000 };
const REST_MS = 60_000;

export class CheckRequests {
  readonly #request: (account: AccountNo, within: { readonly ms: number; readonly first: boolean }) => void;
  /** Accounts with a client since this process began. */
  readonly #present = new LRUCache<AccountNo, true>({ max: 100_000 });
  /** Accounts whose check was requested shortly ago. */
  readonly #recent = new LRUCache<AccountNo, true>({ max: 100_000, ttl: REST_MS });

  /** @param request see checkWithin */
  constructor(request: (account: AccountNo, within: { readonly ms: number; readonly first: boolean }) => void) {
    this.#request = request;
  }

  /** Whether a client of the account was here. */
  isPresent(account: AccountNo): boolean {
    return this.#present.has(account);
  }

  /** A client of the account is here. */
  present(account: AccountNo): void {
    if (this.#present.has(account)) return;
    this.#present.set(account, true);
    this.gap(account);
  }

  /** The account was not polled for a while. */
  gap(account: AccountNo): void {
    this.#request(account, { ms: CHECK_MS.gap, first: false });
  }

  /** A device or connection of the account begins, or the homeserver refused a request about a room. */
  soon(account: AccountNo): void {
    if (this.#recent.has(account)) return;
    this.#recent.set(account, true);
    this.#request(account, { ms: CHECK_MS.opened, first: true });
  }
}
