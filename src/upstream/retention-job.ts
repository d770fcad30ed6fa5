/**
 * Deletes what no client can ask for any more, every few minutes.
 *
 *   sessions   that were unused for long end; what only they held back is purged         D20, S2
 *   horizons   of accounts rise to the lowest token that is still answered               D10
 *   accounts   lose the rows below their horizon, and event bodies without references
 *   feeds      that no session has any more end; of those that are too large the oldest events become gaps    S6
 *   expired    messages are deleted (T4)
 *   leftovers  of sessions, devices, dead access tokens are deleted                      D1, D2, D15, S2
 *
 * Any number of processes may run it: every step is a short transaction under one lock, and a run ends if another process has the lock.
 */

import { sleep } from "../base/abort.ts";
import type { Logger } from "../base/logger.ts";
import type { Metrics } from "../base/metrics.ts";
import { type Feed, goneWake } from "../feed/hub.ts";
import type { Sql, Tx } from "../store/db.ts";
import { readRetention } from "../store/message-retention.ts";
import {
  accountsToSweep,
  type RoomCut,
  cutTimelines,
  deleteFacts,
  deleteInvites,
  deleteProfiles,
  deleteState,
  deleteTimeline,
  type Deleted,
  lockForSweep,
  markSwept,
  type SweptAccount,
} from "../store/retention/account.ts";
import { FOLD_BATCH, foldIdleConnections, type FoldStates } from "../store/retention/connections.ts";
import {
  deleteDeadTokens,
  deleteIfEmpty,
  deletePassedBatches,
  deletePassedNotes,
  deleteSetAside,
  deleteTokenless,
  deleteUnwantedMessages,
  deleteUnwantedPresence,
  deviceless,
  tokenlessDevices,
} from "../store/retention/devices.ts";
import { deleteUnreferenced, nextEvents } from "../store/retention/events.ts";
import { accountsAfter, deleteExpired } from "../store/retention/expired.ts";
import { accountsWithLargeFeed, accountsWithoutFeed, deleteFeed, endFeed, trimFeed } from "../store/retention/feed.ts";
import { deleteMarks, markPositions, nextAccounts, raiseHorizons } from "../store/retention/horizon.ts";
import { deleteLeftRooms } from "../store/retention/left-rooms.ts";
import { deleteListSnapshots, deleteSessionPages, deleteSessionStates, endIdleSessions, SESSION_BATCH } from "../store/retention/sessions.ts";
import { BATCH_ROWS, databaseTime, inBatches, RetentionBusy, retentionStep } from "../store/retention/step.ts";
import { deleteExpiredSticky } from "../store/retention/sticky-events.ts";
import { deleteSentEvents } from "../store/sent-events.ts";
import type { AccountNo } from "../wire/ids.ts";
import { add, noCounts, type RetentionCounts, type RetentionKind } from "./retention-counts.ts";

export type RetentionOptions = {
  readonly sql: Sql;
  /** Wakes requests whose sessions have ended (T18). */
  readonly feed: Pick<Feed, "publish">;
  readonly logger: Logger;
  /** How long a session may be unused before it ends (D20), and a connection, ms. */
  readonly sessionIdleMs: number;
  /** Most bytes of events that an account's feed has; beyond that the oldest become gaps (S6). Default 256 MiB. */
  readonly feedBytes?: number | undefined;
  readonly connectionIdleMs?: number;
  /** Stores the states of idle connections in short. Default: they stay as they are. */
  readonly foldStates?: FoldStates;
  /** Between two runs, ms. Default 5 minutes. */
  readonly everyMs?: number;
  /** How long an old token works after a later one was used (D10), and a page token after its snapshot (D15), ms. Default 1 hour. */
  readonly keepMs?: number;
  readonly metrics?: Pick<Metrics, "retained">;
  /** ms since the epoch, to be compared with times that the database has set. Default: the database's clock. */
  readonly now?: () => number;
};

/** `busy`: another process was running retention, and does the rest. */
export type RetentionReport = { readonly busy: boolean; readonly counts: Readonly<RetentionCounts> };

/** What is deleted of an account, in order: states are kept for timeline events, so those go first. */
const PARTS: readonly (readonly [
  RetentionKind,
  (tx: Tx, swept: SweptAccount, cuts: readonly RoomCut[]) => Promise<Deleted & { readonly rooms?: number }>,
])[] = [
  ["timeline", deleteTimeline],
  ["state", (tx, swept) => deleteState(tx, swept, "state")],
  ["members", (tx, swept) => deleteState(tx, swept, "members")],
  ["facts", deleteFacts],
  ["invites", deleteInvites],
  ["feed", deleteFeed],
  ["profiles", deleteProfiles],
  ["left_room_rows", deleteLeftRooms],
];

/** Of an account's feed. */
const FEED_BYTES = 256 * 2 ** 20;
/** Accounts whose horizons are raised in one step: none is blocked for writers for long. */
const HORIZON_BATCH = 200;
/** Accounts listed at once to be swept. */
const ACCOUNT_BATCH = 1000;
/** Accounts whose messages are checked in one run: they take turns. */
const EXPIRY_BATCH = 200;
/** Devices that are checked in one run. */
const DEVICE_BATCH = 100;
/** Event bodies checked in one step, and steps in one run, of the walk through all of them. */
const EVENT_BATCH = 1000;
const EVENT_STEPS = 20;

export class RetentionJob {
  readonly #options: RetentionOptions;
  readonly #everyMs: number;
  readonly #keepMs: number;
  readonly #stop = new AbortController();
  #loop: Promise<void> | null = null;
  /** How far the walk through the bodies is. It starts at a random point, because many a process does not live as long as a walk takes. */
  #eventCursor = `$${Math.random().toString(36).slice(2)}`;

  /** The last account whose expired messages were deleted. */
  #expiryCursor = 0;

  constructor(options: RetentionOptions) {
    this.#options = options;
    this.#everyMs = options.everyMs ?? 5 * 60_000;
    this.#keepMs = options.keepMs ?? 3_600_000;
  }

  /** Begins to run, first after one period. Call it once. */
  start(): void {
    this.#loop ??= this.#run();
  }

  /** Ends after the transaction that is under way. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error("retention was stopped"));
    await this.#loop;
  }

  /** One run. @throws the database's error; what was deleted before it stays deleted. */
  async runOnce(): Promise<RetentionReport> {
    const counts = noCounts();
    const started = performance.now();
    let busy = false;
    try {
      const at = this.#options.now ? new Date(this.#options.now()) : await databaseTime(this.#options.sql);
      await this.#sessions(counts, at);
      await this.#connections(counts, at);
      await this.#horizons(counts, at);
      await this.#accounts(counts);
      await this.#feeds(counts);
      await this.#expired(counts, at);
      await this.#leftovers(counts, at);
      await this.#devices(counts, at);
      await this.#events(counts);
    } catch (error) {
      if (!(error instanceof RetentionBusy)) throw error;
      busy = true;
    }
    const nonZero = Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0));
    this.#options.logger.debug({ ...nonZero, busy, ms: Math.round(performance.now() - started) }, "Deleted old data (retention)");
    this.#options.metrics?.retained(counts);
    return { busy, counts };
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await sleep(this.#everyMs, signal);
        await this.runOnce();
      } catch (error) {
        if (signal.aborted) return;
        this.#options.logger.warn({ err: error }, "Deleting old data (retention) failed; it will be tried again");
      }
    }
  }

  async #sessions(counts: RetentionCounts, at: Date): Promise<void> {
    const accounts = new Set<AccountNo>();
    counts.sessions += await this.#batches(async (tx) => {
      const step = await endIdleSessions(tx, at, this.#options);
      counts.purged += step.purged;
      for (const account of step.accounts) accounts.add(account);
      return step.ended;
    }, SESSION_BATCH);
    this.#ended(accounts);
  }

  async #connections(counts: Record<RetentionKind, number>, at: Date): Promise<void> {
    const { foldStates } = this.#options;
    if (foldStates) counts.folded += await this.#batches((tx) => foldIdleConnections(tx, at, foldStates), FOLD_BATCH);
  }

  /** Waiting requests then check whether their session still exists. */
  #ended(accounts: Iterable<AccountNo>): void {
    for (const account of accounts) this.#options.feed.publish(goneWake(account));
  }

  async #horizons(counts: RetentionCounts, at: Date): Promise<void> {
    const { sql } = this.#options;
    // A little less than a period, so that no run misses its mark by a moment.
    const markMs = Math.min(this.#everyMs, this.#keepMs) * 0.8;
    let range = await nextAccounts(sql, 0, HORIZON_BATCH);
    while (range) {
      const present = range;
      await this.#step(async (tx) => {
        await markPositions(tx, present, at, markMs);
        counts.horizons += await raiseHorizons(tx, present, at, this.#keepMs);
        counts.marks += await deleteMarks(tx, present, at, this.#keepMs);
      });
      range = await nextAccounts(sql, present.until, HORIZON_BATCH);
    }
  }

  async #accounts(counts: RetentionCounts): Promise<void> {
    let accounts = await accountsToSweep(this.#options.sql, 0, ACCOUNT_BATCH);
    while (accounts.length > 0) {
      for (const account of accounts) await this.#account(counts, account);
      accounts = await accountsToSweep(this.#options.sql, accounts.at(-1) ?? 0, ACCOUNT_BATCH);
    }
  }

  /**
   * Sweeps everything up to the horizon as it is at the beginning; it may rise meanwhile, but never falls. Most accounts have little to
   * delete and take one transaction; after a batch of rows the transaction ends and another one begins.
   */
  async #account(counts: RetentionCounts, account: AccountNo): Promise<void> {
    let swept: SweptAccount | null = null;
    let cuts: readonly RoomCut[] | null = null;
    let part = 0;
    while (part < PARTS.length) {
      const ended = await this.#step(async (tx) => {
        const locked = await lockForSweep(tx, account);
        if (!locked) return true;
        swept ??= locked;
        if (!cuts) {
          const cut = await cutTimelines(tx, swept);
          ({ cuts } = cut);
          add(counts, "older", cut.deleted);
        }
        for (let rows = 0; rows < BATCH_ROWS;) {
          const [kind, deletePart] = PARTS[part] ?? [];
          if (!kind || !deletePart) break;
          const deleted = await deletePart(tx, swept, cuts);
          add(counts, kind, deleted);
          if (deleted.rooms !== undefined) counts.left_rooms += deleted.rooms;
          rows += deleted.rows;
          if (!deleted.more) part += 1;
        }
        if (part < PARTS.length) return false;
        await markSwept(tx, swept);
        counts.accounts_swept += 1;
        return true;
      });
      if (ended) return;
    }
  }

  /** The messages of some accounts, by each room's lifetime. */
  async #expired(counts: RetentionCounts, at: Date): Promise<void> {
    const { sql } = this.#options;
    const retention = await readRetention(sql);
    if (!retention) return;
    const accounts = await accountsAfter(sql, this.#expiryCursor, EXPIRY_BATCH);
    for (const account of accounts) await this.#all(counts, "expired", (tx) => deleteExpired(tx, account, retention, at));
    this.#expiryCursor = accounts.length < EXPIRY_BATCH ? 0 : (accounts.at(-1) ?? 0);
  }

  async #feeds(counts: RetentionCounts): Promise<void> {
    const { sql, feedBytes = FEED_BYTES } = this.#options;
    for (const account of await accountsWithoutFeed(sql)) await this.#all(counts, "feed", (tx) => endFeed(tx, account));
    for (const account of await accountsWithLargeFeed(sql, feedBytes)) await this.#all(counts, "feed", (tx) => trimFeed(tx, account, feedBytes));
  }

  async #leftovers(counts: RetentionCounts, at: Date): Promise<void> {
    counts.session_states += await this.#batches((tx) => deleteSessionStates(tx, this.#keepMs));
    counts.session_pages += await this.#batches(deleteSessionPages);
    counts.list_snapshots += await this.#batches((tx) => deleteListSnapshots(tx, at, this.#keepMs));
    counts.presence += await this.#batches(deleteUnwantedPresence);
    counts.poison += await this.#batches((tx) => deleteSetAside(tx, at));
    counts.sticky_events += await this.#batches((tx) => deleteExpiredSticky(tx, at));
  }

  async #devices(counts: RetentionCounts, at: Date): Promise<void> {
    const { sql } = this.#options;
    counts.to_device += await this.#batches((tx) => deleteUnwantedMessages(tx, at));
    counts.to_device_passed += await this.#batches((tx) => deletePassedNotes(tx, at));
    counts.passed_batches += await this.#batches((tx) => deletePassedBatches(tx, at));
    counts.sent_events += await this.#batches((tx) => deleteSentEvents(tx, at));
    counts.tokens += await this.#batches((tx) => deleteDeadTokens(tx, at));
    for (const { account, device } of await tokenlessDevices(sql, at, DEVICE_BATCH)) {
      const gone = await this.#step((tx) => deleteTokenless(tx, account, device));
      counts.devices += gone.devices;
      counts.accounts += gone.accounts;
      if (gone.devices > 0) this.#ended([account]);
    }
    for (const account of await deviceless(sql, at, DEVICE_BATCH)) counts.accounts += await this.#step((tx) => deleteIfEmpty(tx, account));
  }

  /** A part of the walk through all bodies; it starts over when it has reached the end. */
  async #events(counts: RetentionCounts): Promise<void> {
    for (let step = 0; step < EVENT_STEPS; step += 1) {
      const ids = await nextEvents(this.#options.sql, this.#eventCursor, EVENT_BATCH);
      counts.events += await this.#step((tx) => deleteUnreferenced(tx, ids));
      const wasAtStart = this.#eventCursor === "";
      this.#eventCursor = ids.length < EVENT_BATCH ? "" : (ids.at(-1) ?? "");
      if (this.#eventCursor === "" && wasAtStart) return;
    }
  }

  #step<T>(body: (tx: Tx) => Promise<T>): Promise<T> {
    this.#stop.signal.throwIfAborted();
    return retentionStep(this.#options.sql, body);
  }

  /** Repeats a step until nothing is left to delete. */
  async #all(counts: RetentionCounts, kind: RetentionKind, step: (tx: Tx) => Promise<Deleted>): Promise<void> {
    for (let more = true; more;) {
      const deleted = await this.#step(step);
      add(counts, kind, deleted);
      more = deleted.more;
    }
  }

  #batches(step: (tx: Tx) => Promise<number>, batch = BATCH_ROWS): Promise<number> {
    return inBatches(this.#options.sql, this.#stop.signal, step, batch);
  }
}
