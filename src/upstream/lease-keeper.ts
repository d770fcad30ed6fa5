/**
 * The leases that this process holds: which accounts it polls. They run for 10 s by the database's clock and are renewed every 3 s in
 * one statement, which also carries what polling proved (accounts.polled_at, tokens.verified_at).
 *
 *     claim ──> held ──renew──> held
 *                 ├── taken over or deleted (renewal does not find it)  ──> lost
 *                 └── no renewal came through for 9 s                   ──> lost: another process may poll it already
 */

import type { DbOptions, Sql } from "../store/db.ts";
import { claimLeases, type Lease, releaseLeases, renewLeases } from "../store/leases.ts";
import { OwnerLock } from "../store/owner-lock.ts";
import type { AccountNo } from "../wire/ids.ts";

const LEASE_MS = 10_000;
export const RENEW_MS = 3000;
/** A lease that could not be renewed for this long counts as lost here, before it expires in the database. */
const SELF_FENCE_MS = LEASE_MS - 1000;
/**
 * A homeserver refuses a token as soon as a poll with it arrives. So a poll that still waits after this time proves its token as well as its answer
 * will, and a token that is polled is never older than a poll and a renewal (T16).
 */
const ACCEPTED_MS = 5000;

export type LeasesOptions = {
  readonly sql: Sql;
  /** A name that no other process has, now or ever, e.g. a UUID. */
  readonly ownerId: string;
  /**
   * A connection straight to PostgreSQL (not through a transaction pooler): with it the death of a process is noticed at once. Null: its
   * leases have to expire.
   */
  readonly lockDb: DbOptions | null;
  /** Milliseconds; only differences count. */
  readonly now: () => number;
};

type Held = { readonly epoch: number; renewedAt: number; polledAt: number | null };

export class Leases {
  /** The owner's name in the table. */
  readonly owner: string;
  readonly #options: LeasesOptions;
  readonly #held = new Map<AccountNo, Held>();
  readonly #proofs = new Map<string, number>();
  /** Polls that wait, by token, and when they were sent. */
  readonly #polls = new Map<string, number>();
  readonly #lock: OwnerLock | null;

  constructor(options: LeasesOptions) {
    this.#options = options;
    this.owner = `${options.lockDb ? "lock" : "row"}:${options.ownerId}`;
    this.#lock = options.lockDb && new OwnerLock(options.lockDb, this.owner);
  }

  /** The held accounts, with their epochs. */
  held(): Lease[] {
    return [...this.#held].map(([account, { epoch }]) => ({ account, epoch }));
  }

  epoch(account: AccountNo): number | null {
    return this.#held.get(account)?.epoch ?? null;
  }

  /** Takes up to `limit` accounts that no process polls and that were seen within `idleMs`. */
  async claim(idleMs: number, limit: number): Promise<Lease[]> {
    return this.#claim({ idleMs, limit });
  }

  /** Takes that account; null: another process polls it, it has no live token, or it is held already. */
  async claimOne(account: AccountNo): Promise<Lease | null> {
    return (await this.#claim({ only: account }))[0] ?? null;
  }

  async #claim(which: { readonly idleMs: number; readonly limit: number } | { readonly only: AccountNo }): Promise<Lease[]> {
    await this.#lock?.hold();
    const before = this.#options.now();
    const leases = await claimLeases(this.#options.sql, this.owner, LEASE_MS, which);
    for (const { account, epoch } of leases) this.#held.set(account, { epoch, renewedAt: before, polledAt: null });
    return leases;
  }

  /** A poll of that account with rooms succeeded. Written with the next renewal. */
  polled(account: AccountNo, at: number): void {
    const held = this.#held.get(account);
    if (held) held.polledAt = at;
  }

  /** A poll with that token was sent. `proven` or `unproven` follows. */
  asked(tokenHash: Buffer, at: number): void {
    this.#polls.set(tokenHash.toString("hex"), at);
  }

  /** A poll with that token succeeded: the token is valid (D2). Written with the next renewal. */
  proven(tokenHash: Buffer, at: number): void {
    this.unproven(tokenHash);
    this.#proofs.set(tokenHash.toString("hex"), at);
  }

  /** A poll with that token failed, or was given up. */
  unproven(tokenHash: Buffer): void {
    this.#polls.delete(tokenHash.toString("hex"));
  }

  /**
   * Renews all leases and writes what was learned. Returns the accounts that were lost.
   * @throws if the database cannot be reached: see `fenced`
   */
  async renew(): Promise<AccountNo[]> {
    // Without the lock other processes may take our accounts, but until they do the accounts are ours. `claim` reports what is wrong.
    await this.#lock?.hold().catch(() => {});
    const before = this.#options.now();
    const input = [...this.#held].map(([account, { epoch, polledAt }]) => ({
      account,
      epoch,
      polledAgoMs: polledAt === null ? null : Math.max(0, before - polledAt),
    }));
    for (const [hash, at] of this.#polls) {
      if (before - at < ACCEPTED_MS) continue;
      this.#polls.delete(hash);
      this.#proofs.set(hash, at);
    }
    const proofs = [...this.#proofs].map(([hash, at]) => ({ hash, agoMs: Math.max(0, before - at) }));
    if (input.length === 0 && proofs.length === 0) return [];
    const renewed = await renewLeases(this.#options.sql, this.owner, LEASE_MS, input, proofs);
    for (const [hash, at] of this.#proofs) if (at <= before) this.#proofs.delete(hash);
    const lost: AccountNo[] = [];
    for (const { account, epoch } of input) {
      const held = this.#held.get(account);
      if (held?.epoch !== epoch) continue;
      if (renewed.has(account)) {
        held.renewedAt = before;
        if (held.polledAt !== null && held.polledAt <= before) held.polledAt = null;
      } else {
        this.#held.delete(account);
        lost.push(account);
      }
    }
    return lost;
  }

  /** Gives up the accounts whose last renewal is too long ago: the database was away, or this process was frozen. Returns them. */
  fenced(): AccountNo[] {
    const limit = this.#options.now() - SELF_FENCE_MS;
    const lost = [...this.#held].filter(([, held]) => held.renewedAt < limit).map(([account]) => account);
    for (const account of lost) this.#held.delete(account);
    return lost;
  }

  /** That lease is known to be lost. (The account may have been taken again meanwhile, under a higher epoch.) */
  forget({ account, epoch }: Lease): void {
    if (this.#held.get(account)?.epoch === epoch) this.#held.delete(account);
  }

  /** Gives accounts up. Their pollers must have ended. */
  async release(accounts: readonly AccountNo[]): Promise<void> {
    const leases = accounts.flatMap((account) => {
      const held = this.#held.get(account);
      return held ? [{ account, epoch: held.epoch }] : [];
    });
    if (leases.length === 0) return;
    await this.renew(); // otherwise what was learned would be lost
    for (const { account } of leases) this.#held.delete(account);
    await releaseLeases(this.#options.sql, this.owner, leases);
  }

  /** Gives everything up, the owner's lock too. */
  async close(): Promise<void> {
    try {
      await this.release([...this.#held.keys()]);
    } finally {
      await this.#lock?.close();
    }
  }
}
