/**
 * Which accounts this process polls. Every account that was seen in the last 30 days and has a live token is polled by exactly one
 * process: at start and every few seconds each process takes accounts that none polls (after a restart polling resumes without a client).
 *
 *     renew   every 3 s: renews leases, writes what polling proved, stops the pollers of lost accounts
 *     sweep   every second or so: takes free accounts; starts or ends pollers for devices and tokens that came or went
 *     rereads every 5 s: reads from the homeserver again what an answer left incomplete
 *     ignored every second: fetches what was withheld of users who are no longer ignored (T2)
 *     gaps    every half second: fetches what limited timelines left out, for feeds (S6)
 *     checks  every 5 s: compares accounts' rooms with the homeserver's (T1), and asks whether it was restored from a backup (T3)
 *     expiry  every hour: asks whether the homeserver lets messages expire (T4)
 *     typing  every 15 s: empties the typing sets of accounts that were not polled successfully for 2 minutes (S1)
 */

import { LRUCache } from "lru-cache";
import { sleep } from "../base/abort.ts";
import { accountsWithNewTokens, type LiveDevice, liveDevices, touchDevices } from "../store/devices.ts";
import type { Wake } from "../feed/hub.ts";
import { checkWithin } from "../store/room-checks.ts";
import { expireTyping } from "../store/typing-expiry.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import { AccountPollers } from "./account-pollers.ts";
import { Leases, RENEW_MS } from "./lease-keeper.ts";
import { FeedGaps } from "./feed-gaps.ts";
import { FirstSyncs } from "./first-syncs.ts";
import type { PollerDeps, PollerEnd } from "./poller-types.ts";
import { CheckRequests } from "./reconcile/check-requests.ts";
import { QuestionBudget } from "./reconcile/question-budget.ts";
import { Reconciler } from "./reconcile/reconciler.ts";
import { Unignored } from "./reconcile/unignored.ts";
import { Rereads } from "./rereads.ts";
import { RestoreWatch } from "./restore-watch.ts";
import { RetentionQuestion } from "./retention-question.ts";
import type { SupervisorOptions } from "./supervisor-options.ts";
import { SyncQueue } from "./sync-queue.ts";

/** Accounts taken in one sweep, so that a start does not poll the homeserver for all accounts at the same moment. */
const CLAIM_BATCH = 200;
/** Number of sweeps in which all of many held accounts are checked. */
const SWEEPS_A_TURN = 30;
/** How long a token counts as new, ms: some sweeps may fail. */
const FRESH_MS = 10_000;
/** How long what is about to be deleted is not polled again, ms. */
const FORGET_MS = 10_000;
/** Shortest interval between writes of devices.seen_at for a device. */
const TOUCH_MS = 3_600_000;

export class Supervisor {
  /** First syncs that are under way in this process. */
  readonly firstSyncs: FirstSyncs;
  readonly #options: SupervisorOptions;
  readonly #deps: PollerDeps;
  readonly #leases: Leases;
  readonly #rereads: Rereads;
  readonly #reconciler: Reconciler;
  readonly #restores: RestoreWatch;
  readonly #unignored: Unignored;
  readonly #feedGaps: FeedGaps;
  readonly #checks: CheckRequests;
  readonly #retention: RetentionQuestion;
  readonly #accounts = new Map<AccountNo, AccountPollers>();
  readonly #stop = new AbortController();
  readonly #tasks = new Set<Promise<void>>();
  /** Accounts that are being checked; true: check once more, because it was requested meanwhile. */
  readonly #attending = new Map<AccountNo, boolean>();
  /** Accounts that another process polls, as of a second ago. */
  readonly #elsewhere = new LRUCache<AccountNo, true>({ max: 50_000, ttl: 1000 });
  readonly #touched = new LRUCache<DeviceNo, true>({ max: 100_000, ttl: TOUCH_MS });
  /** Where the next sweep begins among the held accounts. */
  #turn = 0;
  /** Devices to be recorded as seen, with their accounts. */
  readonly #toTouch = new Map<DeviceNo, AccountNo>();

  constructor(options: SupervisorOptions) {
    const now = options.now ?? (() => performance.now());
    this.#options = options;
    this.firstSyncs = new FirstSyncs(options.logger);
    this.#leases = new Leases({ sql: options.sql, ownerId: options.ownerId, lockDb: options.lockDb, now });
    this.#retention = new RetentionQuestion(options);
    this.#checks = new CheckRequests((account, within) => this.#stop.signal.aborted || this.#spawn(checkWithin(options.sql, account, within)));
    const { questions = new QuestionBudget(options), random = Math.random } = options;
    this.#reconciler = new Reconciler({ ...options, questions });
    this.#restores = new RestoreWatch({
      ...options,
      questions,
      now,
      restored: ({ account, device }) => this.#accounts.get(account)?.restored(device),
    });
    const made = { firstSyncs: this.firstSyncs, leases: this.#leases, restores: this.#restores, now, random };
    this.#deps = {
      ...options,
      ...made,
      syncQueue: new SyncQueue({ sql: options.sql, isPresent: (account) => this.#checks.isPresent(account) }),
      sleep: options.sleep ?? sleep,
      pollingGap: (account) => this.#checks.gap(account),
    };
    this.#rereads = new Rereads({ ...options, questions });
    const beside = { ...options, sleep: this.#deps.sleep, spawn: (work: Promise<void>) => this.#spawn(work) };
    this.#unignored = new Unignored({ ...beside, questions });
    this.#feedGaps = new FeedGaps(beside);
  }

  /** Begins to poll; returns at once. Call it once. */
  start(): void {
    const {
      sweepMs = 1000,
      typingSweepMs = 15_000,
      rereadMs = 5000,
      checkMs = 5000,
      unignoredMs = 1000,
      feedGapsMs = 500,
      polls = true,
    } = this.#options;
    this.#options.feed.observe((wake) => this.#onWake(wake));
    if (!polls) return this.#loop("Recording devices in use", sweepMs, () => this.#touch([...this.#toTouch.keys()]));
    this.#loop("Lease renewal", RENEW_MS, () => this.#renew());
    this.#loop("Looking for accounts to poll", sweepMs, () => this.#sweep());
    this.#loop("Reading postponed data", rereadMs, () => this.#rereads.run(this.#leases.held(), this.#stop.signal));
    this.#loop("Looking for users no longer ignored", unignoredMs, () => this.#unignored.run(this.#leases.held(), this.#stop.signal));
    this.#loop("Fetching what feeds lack", feedGapsMs, () => this.#feedGaps.run(this.#leases.held(), this.#stop.signal));
    this.#loop("Checking rooms", checkMs, () => this.#reconciler.run(this.#leases.held(), this.#stop.signal));
    this.#loop("Asking for events of before a gap", checkMs, () => this.#restores.run(this.#leases.held(), this.#stop.signal));
    this.#loop("Asking whether messages expire", sweepMs, () => this.#retention.run(this.accounts(), this.#stop.signal));
    this.#loop("Typing expiry", typingSweepMs, () => this.#expireTyping());
  }

  /**
   * A client of that device is here: the device gets polled, by this process if none does yet. Returns at once, cheap if the device is
   * polled already; also call it when a token of the device has just been registered.
   */
  ensure(account: AccountNo, device: DeviceNo): void {
    if (this.#stop.signal.aborted) return;
    if (!this.#touched.has(device)) {
      this.#touched.set(device, true);
      this.#toTouch.set(device, account);
    }
    this.#checks.present(account);
    if (this.#options.polls === false) return;
    const pollers = this.#accounts.get(account);
    if (pollers?.polls(device) || this.#elsewhere.has(account)) return;
    pollers?.forgive(device);
    this.#attend(account);
  }

  /** A device or connection of the account begins, or the homeserver refused a request about a room: its rooms are checked soon (T1). */
  checkSoon(account: AccountNo): void {
    this.#checks.soon(account);
  }

  /**
   * The device (null: the whole account) is about to be deleted: resolves when this process no longer polls it. A poller in another process
   * is stopped by the deletion itself.
   */
  async forget(account: AccountNo, device: DeviceNo | null): Promise<void> {
    await this.#accounts.get(account)?.rest(device, FORGET_MS);
  }

  /** Accounts that this process polls now. */
  accounts(): AccountNo[] {
    return [...this.#accounts.keys()];
  }

  /** Ends all polls, each after its commit, and gives the accounts up. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error("the supervisor was stopped"));
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
    await Promise.all([...this.#accounts.values()].map((pollers) => pollers.stop()));
    this.#accounts.clear();
    await this.#leases.close();
  }

  /**
   * Whichever process the keys were uploaded through, the poller of the device requests the new counts. Profiles likewise; and what a request says of
   * its user's presence is told to the homeserver by whoever polls.
   */
  #onWake(wake: Wake): void {
    if (wake.type === "presence") this.#accounts.get(wake.account)?.present(wake.device, wake.name, wake.presence);
    if (wake.type !== "news") return;
    if (wake.kinds?.has("profile_fields")) this.#accounts.get(wake.account)?.profilesWanted();
    if (wake.device !== undefined && wake.kinds?.has("keys_uploaded")) this.#accounts.get(wake.account)?.keysUploaded(wake.device);
  }

  async #renew(): Promise<void> {
    try {
      for (const account of await this.#leases.renew()) this.#lose(account);
      await this.#touch([...this.#toTouch.keys()]);
    } finally {
      this.#fence();
    }
  }

  #fence(): void {
    for (const account of this.#leases.fenced()) this.#lose(account);
  }

  async #sweep(): Promise<void> {
    this.#fence();
    const { sql } = this.#options;
    const claimed = await this.#leases.claim(this.#idleMs, CLAIM_BATCH);
    const held = await this.#nextInTurn(new Set(claimed.map((lease) => lease.account)));
    const live = Map.groupBy(await liveDevices(sql, held, this.#idleMs), (device) => device.account);
    const unused: AccountNo[] = [];
    for (const account of held) {
      const devices = live.get(account);
      if (devices) this.#spawn(this.#poll(account, devices));
      else if (!this.#attending.has(account)) unused.push(account);
    }
    if (unused.length > 0) await this.#giveBack(unused);
  }

  /** The accounts to check in this sweep: in turn, all of them within half a minute; those just taken, or with a new token, at once. */
  async #nextInTurn(claimed: ReadonlySet<AccountNo>): Promise<AccountNo[]> {
    const held = this.#leases.held().map((lease) => lease.account);
    const many = Math.max(this.#options.sweepBatch ?? 100, Math.ceil(held.length / SWEEPS_A_TURN));
    if (held.length <= many) return held;
    const start = this.#turn % held.length;
    this.#turn = start + many;
    const turn = new Set(held.slice(start, start + many));
    const fresh = await accountsWithNewTokens(this.#options.sql, FRESH_MS);
    return held.filter((account) => turn.has(account) || claimed.has(account) || fresh.has(account));
  }

  /** Matches the account's pollers to its devices, if the account is (still) ours. */
  async #poll(account: AccountNo, devices: readonly LiveDevice[]): Promise<void> {
    const epoch = this.#leases.epoch(account);
    if (epoch === null || this.#stop.signal.aborted) return;
    let pollers = this.#accounts.get(account);
    if (pollers && pollers.lease.epoch !== epoch) {
      // Lost and taken again in between: the old pollers must have ended first.
      await pollers.stop();
      if (this.#accounts.get(account) === pollers) this.#accounts.delete(account);
      return this.#poll(account, devices);
    }
    if (!pollers) {
      const made = new AccountPollers(this.#deps, { account, epoch }, (end) => this.#ended(made, end));
      pollers = made;
      this.#accounts.set(account, made);
    }
    await pollers.reconcile(devices);
  }

  #ended(pollers: AccountPollers, end: PollerEnd): void {
    const { account } = pollers.lease;
    if (this.#accounts.get(account) !== pollers) return;
    if (end === "stale") {
      this.#leases.forget(pollers.lease);
      this.#lose(account);
    } else this.#attend(account);
  }

  /** The lease is lost: another process has the account, or will soon. */
  #lose(account: AccountNo): void {
    const pollers = this.#accounts.get(account);
    if (!pollers) return;
    this.#options.logger.info({ account }, "The account is now polled by another process");
    this.#spawn(
      pollers.stop().then(() => {
        if (this.#accounts.get(account) === pollers) this.#accounts.delete(account);
      }),
    );
  }

  /** There is nothing to poll for these accounts: no live token, or no client was seen for long. */
  async #giveBack(accounts: readonly AccountNo[]): Promise<void> {
    await Promise.all(accounts.flatMap((account) => this.#accounts.get(account)?.stop() ?? []));
    for (const account of accounts) this.#accounts.delete(account);
    await this.#leases.release(accounts);
  }

  /** Checks one account now; a request during the check causes one more. */
  #attend(account: AccountNo): void {
    if (this.#stop.signal.aborted) return;
    if (this.#attending.has(account)) {
      this.#attending.set(account, true);
      return;
    }
    this.#attending.set(account, false);
    this.#spawn(
      this.#check(account).finally(() => {
        const again = this.#attending.get(account) === true;
        this.#attending.delete(account);
        if (again) this.#attend(account);
      }),
    );
  }

  async #check(account: AccountNo): Promise<void> {
    const { sql } = this.#options;
    await this.#touch([...this.#toTouch].filter(([, of]) => of === account).map(([device]) => device));
    if (this.#leases.epoch(account) === null && !(await this.#leases.claimOne(account))) {
      this.#elsewhere.set(account, true);
      return;
    }
    const devices = await liveDevices(sql, [account], this.#idleMs);
    if (devices.length > 0) await this.#poll(account, devices);
  }

  async #touch(devices: readonly DeviceNo[]): Promise<void> {
    await touchDevices(this.#options.sql, devices);
    for (const device of devices) this.#toTouch.delete(device);
  }

  async #expireTyping(): Promise<void> {
    const { sql, feed, typingMs = 120_000 } = this.#options;
    for (const { account, rooms } of await expireTyping(sql, typingMs)) {
      feed.publish({ type: "news", account, kinds: new Set(["typing"]), rooms: new Set(rooms) });
    }
  }

  get #idleMs(): number {
    return this.#options.idleMs ?? 30 * 24 * 3_600_000;
  }

  /** Runs `body` at once and then repeatedly, `ms` apart; a failure is logged and retried the next time. */
  #loop(name: string, ms: number, body: () => Promise<void>): void {
    const run = async () => {
      let failures = 0;
      while (!this.#stop.signal.aborted) {
        const startedAt = performance.now();
        try {
          await body();
          failures = 0;
        } catch (error) {
          failures += 1;
          if (failures === 1 || failures % 60 === 0) this.#options.logger.warn({ err: error, failures }, `${name} failed; it will be tried again`);
        }
        // Slow work is done less often, but leases are renewed in time.
        const pause = Math.max(ms, Math.min(RENEW_MS, 9 * (performance.now() - startedAt)));
        await sleep(pause, this.#stop.signal).catch(() => {});
      }
    };
    this.#spawn(run());
  }

  /** Tracks a promise until it settles, for `stop`; a rejection is logged. */
  #spawn(work: Promise<void>): void {
    const task = work
      .catch((error: unknown) => this.#options.logger.warn({ err: error }, "Polling could not be started or stopped; it will be tried again"))
      .finally(() => this.#tasks.delete(task));
    this.#tasks.add(task);
  }
}
