/**
 * One v2 loop of one device: ask, ingest, publish a wake-up, ask again. poller-state.ts says what happens when.
 *
 * The homeserver deletes to-device messages when `since` advances, so nothing is asked for with a new `since` before ingest committed it.
 * A room poller whose device has another `since` than the account's rooms (it takes over from another device) first polls without rooms
 * until its own to-device queue is empty and acknowledged, then continues from the account's `since`.
 * An answer that is too large or too slow is asked for again with less: see sync-size.ts. After any other error the poller backs off.
 */

import { reasonOf } from "../base/abort.ts";
import { isAway } from "../base/database-needs.ts";
import { unlockAccount } from "../store/account-locks.ts";
import { pollState, resetDevice } from "../store/devices.ts";
import { isLeaseHeld } from "../store/leases.ts";
import { markDead } from "../store/tokens.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import { noteLocked } from "./account-lock.ts";
import { BackOff } from "./back-off.ts";
import type { HomeserverAnswer } from "./client.ts";
import { type DeviceToken, loadDeviceToken } from "./device-token.ts";
import { storeEarlyRooms } from "./early-rooms.ts";
import type { IngestResult } from "./ingest/ingest-result.ts";
import { MissedLists } from "./missed-lists.ts";
import { fetchMissedPresence } from "./missed-presence.ts";
import { MissedProfiles } from "./missed-profiles.ts";
import { cursorAfter, ingestInput, planPoll, type PollCursor, type PollPlan, type SentPoll } from "./poll-plan.ts";
import { PollSignal } from "./poll-signal.ts";
import { PollTrouble } from "./poll-trouble.ts";
import { PollerLog } from "./poller-log.ts";
import {
  advance,
  type CommonEvent,
  FIRST_MEMORY,
  type PollerEvent,
  type PollerMemory,
  type PollerState,
  isState,
  TRANSITIONS,
} from "./poller-state.ts";
import type { PollerDeps, PollerEnd, PollerJob } from "./poller-types.ts";
import { PollingGaps } from "./polling-gaps.ts";
import { QuickAnswers } from "./quick-answers.ts";
import { QuietAnswers } from "./quiet-answers.ts";
import { Setbacks } from "./setbacks.ts";
import { SizeSteps } from "./sync-size.ts";
import { UpstreamError } from "./upstream-error.ts";
import { v2Filter } from "./v2-filter.ts";

/** The longest wait if the database was unreachable, ms: the homeserver did nothing wrong, and asking the database costs little. */
const DATABASE_CAP_MS = 5000;

export class Poller {
  readonly gaps: PollingGaps;
  readonly #deps: PollerDeps;
  readonly #job: PollerJob;
  readonly #names: { readonly account: AccountNo; readonly device: DeviceNo };
  readonly #backOff: BackOff;
  readonly #log: PollerLog;
  readonly #stop = new AbortController();
  readonly #poll = new PollSignal();
  readonly #missedLists: MissedLists;
  readonly #missedProfiles: MissedProfiles;
  readonly #sizes: SizeSteps;
  readonly #trouble: PollTrouble;
  readonly #quiet: QuietAnswers;
  readonly #quick = new QuickAnswers();
  readonly #setbacks: Setbacks;
  #memory: PollerMemory = FIRST_MEMORY;
  /** In state `bury`: the one to be marked dead. */
  #token: DeviceToken | null = null;
  #cursor: PollCursor | null = null;
  #presence: boolean;
  /** Keys were uploaded since the last step began. */
  #keysUploaded = false;

  constructor(deps: PollerDeps, job: PollerJob) {
    this.#deps = deps;
    this.#job = job;
    this.#names = { account: job.account, device: job.device };
    this.#log = new PollerLog(deps.logger, this.#names);
    this.#presence = job.presence;
    this.#backOff = new BackOff(deps.random);
    this.#quiet = new QuietAnswers(deps.now);
    this.#sizes = new SizeSteps(deps.now);
    this.#trouble = new PollTrouble(deps.sql, deps.logger, deps.now);
    this.#missedLists = new MissedLists(deps, job);
    this.#missedProfiles = new MissedProfiles(deps, job);
    this.#setbacks = new Setbacks(deps);
    this.gaps = new PollingGaps(deps, job.account);
  }

  /** Polls until it ends; never rejects. Call it once. */
  async run(): Promise<PollerEnd> {
    while (!this.#stop.signal.aborted) {
      const { state } = this.#memory;
      if (!isState(state)) return state;
      try {
        await this.#step(state);
      } catch (error) {
        if (this.#stop.signal.aborted) break;
        const delay = this.#failed(error);
        await this.#trouble.failed(this.#names, error);
        await this.#deps.sleep(delay, this.#stop.signal).catch(() => {});
      }
    }
    return "stopped";
  }

  /** Ends it: a waiting poll at once, an ingest after its commit. */
  stop(): void {
    this.#stop.abort(new Error("the poller was stopped"));
    this.#poll.cut("the poller was stopped");
  }

  /** Whether somebody asks for presence. After a change the next poll is sent at once. */
  setPresence(presence: boolean): void {
    if (presence === this.#presence) return;
    this.#presence = presence;
    // The answers that were not stored were asked for with the other filter.
    if (this.#cursor) this.#cursor = { ...this.#cursor, unstored: null };
    this.#moveFromAny("filter_changed");
    this.#poll.cut("the filter changed");
  }

  /** `shown` of the job has changed: the homeserver is told at once. */
  shownChanged(): void {
    this.#poll.cutUnlessFirst("the user's presence changed");
  }

  /** A client has uploaded keys of the device (T11): the next poll says how many there are, and is sent at once. */
  keysUploaded(): void {
    this.#keysUploaded = true;
    this.#poll.cutUnlessFirst("keys were uploaded");
  }

  /** The device is to be synced from scratch (T3): unless that is known, it is read at once. */
  restored(): void {
    if (!this.#cursor?.restored) this.keysUploaded();
  }

  #step(state: PollerState): Promise<void> {
    if (this.#keysUploaded) {
      this.#keysUploaded = false;
      this.#quiet.forget();
      this.#moveFromAny("keys_uploaded");
      return Promise.resolve();
    }
    switch (state) {
      case "bury":
        return this.#buryToken();
      case "token":
        return this.#loadToken();
      case "cursor":
        return this.#loadCursor();
      case "poll":
        return this.#pollOnce();
    }
  }

  #move<S extends PollerState>(state: S, event: PollerEvent<S>): void {
    if (TRANSITIONS[state][event].dropsCursor) this.#cursor = null;
    this.#memory = advance(this.#memory, state, event);
  }

  #moveFromAny(event: CommonEvent): void {
    const { state } = this.#memory;
    if (isState(state)) this.#move(state, event);
  }

  /** Records that the token is dead (B57), and wakes whoever waits, to answer 401. */
  async #buryToken(): Promise<void> {
    if (this.#token) await markDead(this.#deps.sql, this.#token.hash, this.#token.softLogout);
    this.#token = null;
    this.#move("bury", "buried");
    this.#log.tokenDead();
    this.#deps.feed.publish({ type: "news", ...this.#names, kinds: new Set(["gone"]), rooms: new Set() });
  }

  async #loadToken(): Promise<void> {
    const token = await loadDeviceToken(this.#deps, this.#job.device);
    if (token === "unusable") this.#log.tokenUnusable();
    if (typeof token === "string") return this.#move("token", token);
    this.#token = token;
    this.#move("token", "loaded");
  }

  async #loadCursor(): Promise<void> {
    if (!this.#cursor) {
      const state = await pollState(this.#deps.sql, this.#job.device);
      this.#cursor = state && { ...state, unstored: null };
    }
    this.#move("cursor", this.#cursor ? "loaded" : "missing");
  }

  async #pollOnce(): Promise<void> {
    const token = this.#token;
    const hasPresence = token !== null && (await this.#hasPresence(token));
    let cursor = this.#cursor;
    if (!token || !cursor) throw new Error("a poll needs a token and a cursor");
    const plan = planPoll(this.#job.rooms, cursor, this.#memory, this.#sizes.size);
    if (plan.rooms) {
      const profiles = await this.#missedProfiles.complete({ ...cursor, token: token.text, since: cursor.accountSince }, this.#stop.signal);
      this.#cursor = cursor = { ...cursor, profiles };
    }
    const sent: SentPoll = { plan, presence: plan.rooms && hasPresence, startedAt: this.#deps.now() };
    const isFirst = plan.rooms && plan.since === null;
    if (isFirst && cursor.untouched) {
      this.#cursor = cursor = { ...cursor, untouched: false };
      await storeEarlyRooms(this.#deps, { ...this.#job, userId: cursor.userId }, token.text, this.#stop.signal);
    }
    const ask = (received?: (bytes: number) => void) => this.#ask(token, sent, received);
    const { account } = this.#job;
    const sync = () => (isFirst ? this.#deps.firstSyncs.run(account, this.#names, ask) : ask());
    const isQueued = cursor.restored && plan.since === null;
    const answer = await (isQueued ? this.#deps.syncQueue.run(account, this.#stop.signal, sync) : sync());
    if (answer === null) return;
    const judged = await this.#setbacks.judge({ ...this.#names, token: token.text, since: plan.since, text: answer.text }, this.#stop.signal);
    if (judged === "restored" || judged === "behind") {
      await this.#deps.restores.foundByPoll(this.#names, cursor.deviceSince, judged);
      this.#move("poll", "reset");
    }
    if (judged !== "good") return;
    if (plan.rooms) await this.gaps.answered();
    if (cursor.locked) {
      await unlockAccount(this.#deps.sql, this.#job.account, this.#deps.now() - sent.startedAt);
      this.#cursor = cursor = { ...cursor, locked: false };
    }
    const toRead = plan.size === "bare" ? await this.#deps.client.joinedRooms(token.text, this.#stop.signal) : undefined;
    const lists = await this.#missedLists.ask(token.text, answer.text, this.#stop.signal, toRead ? cursor.accountSince : null);
    const isPlain = !plan.overlap && !plan.drain && !toRead && !lists && sent.presence === this.#presence;
    const unstored = isPlain ? this.#quiet.repeated(answer, plan.rooms) : null;
    if (unstored !== null) {
      this.#cursor = { ...cursor, unstored };
      this.#succeeded(plan, "unchanged");
      return this.#rest(true, sent);
    }
    const beside = { presence: sent.presence, ...(toRead && { toRead }), ...(lists && { lists }) };
    const result = await this.#deps.ingest(ingestInput(this.#job, cursor, plan, answer, beside));
    if (isFirst && result.kind === "stored") this.#log.firstSync(result.news, answer, this.#deps.now() - sent.startedAt);
    await this.#digest(result, sent);
    if (result.kind === "stored") this.#missedLists.stored();
    if (result.kind === "stored" && result.countsAreOld) this.#keysUploaded = true;
    const isNothing =
      !this.#keysUploaded && result.kind === "stored" && result.news.kinds.size === 0 && result.news.rooms.size === 0 && !result.toDevice;
    this.#quiet.stored(answer, plan.rooms, isNothing);
    await this.#rest(isNothing, sent);
  }

  /** Somebody asks for presence, and what is stored of it is complete up to where the poll begins. */
  async #hasPresence(token: DeviceToken): Promise<boolean> {
    if (!this.#job.rooms || !this.#presence || !this.#cursor) return false;
    const { accountSince: since, presenceSince } = this.#cursor;
    if (since === null || since === presenceSince) return true;
    const isComplete = await fetchMissedPresence(this.#deps, { ...this.#job, token: token.text, since }, this.#stop.signal);
    if (isComplete) this.#cursor = { ...this.#cursor, presenceSince: since };
    return isComplete;
  }

  /** The answer; null: there is none, and the state says what to do instead. Throws errors that can be waited out. */
  async #ask(token: DeviceToken, { plan, presence, startedAt }: SentPoll, received?: (bytes: number) => void): Promise<HomeserverAnswer | null> {
    if (this.#stop.signal.aborted) throw reasonOf(this.#stop.signal);
    const signal = this.#poll.begin(plan.since === null);
    const profiles = this.#cursor?.profiles.polled ?? [];
    const filter = v2Filter({ rooms: plan.rooms, presence, first: plan.since === null, size: plan.size, profiles });
    try {
      const query = { since: plan.since, timeout: plan.timeout, filter, presence: this.#job.shown?.() ?? "offline" };
      // A first sync may have to wait here before it is sent.
      if (plan.since !== null) this.#deps.leases.asked(token.hash, startedAt);
      const answer = await this.#deps.client.sync(token.text, query, signal, received);
      // Homeservers check the token when a poll begins, not again when it ends.
      this.#deps.leases.proven(token.hash, startedAt);
      this.#move("poll", "answered");
      return answer;
    } catch (error) {
      this.#deps.leases.unproven(token.hash);
      if (this.#stop.signal.aborted) throw error;
      if (signal.aborted) {
        this.#move("poll", "interrupted");
        return null;
      }
      if (error instanceof UpstreamError && error.kind === "unknown_token") {
        this.#token = { ...token, softLogout: error.softLogout };
        this.#move("poll", "unknown_token");
        return null;
      }
      if (error instanceof UpstreamError && error.body !== null) await noteLocked(this.#deps, this.#job.account, error.body);
      if (error instanceof UpstreamError && error.kind === "bad_since") {
        // Twice, so that a single mistake of the homeserver does not cost the account its sessions.
        this.#move("poll", "since_refused");
        if (this.#memory.badSinces >= 2) return this.#reset(plan);
      }
      throw error;
    }
  }

  async #digest(result: IngestResult, { plan, presence }: SentPoll): Promise<void> {
    const { account, device, epoch } = this.#job;
    if (result.kind === "stale") {
      if (!(await isLeaseHeld(this.#deps.sql, this.#deps.leases.owner, { account, epoch }))) return this.#move("poll", "lease_lost");
      this.#move("poll", "stale");
      if (this.#memory.stales > 1) throw new Error("the polled position differs from the stored one, twice in a row");
      return;
    }
    const { nextBatch, news, batch, setAside, toDevice } = result;
    const drained = toDevice ? "queue_drained" : "queue_empty";
    this.#succeeded(plan, plan.drain ? drained : "stored");
    if (setAside) this.#log.setAside(setAside);
    if (this.#cursor) this.#cursor = cursorAfter(this.#cursor, { rooms: plan.rooms, presence, nextBatch });
    if (news.kinds.size > 0 || news.rooms.size > 0) {
      this.#deps.feed.publish({ type: "news", account, device, kinds: news.kinds, rooms: news.rooms, ...(batch && { batch }) });
    }
  }

  #succeeded(plan: PollPlan, event: "stored" | "queue_drained" | "queue_empty" | "unchanged"): void {
    if (plan.rooms) {
      this.gaps.succeeded();
      this.#sizes.succeeded();
    }
    this.#backOff.succeeded();
    this.#trouble.ended();
    this.#move("poll", event);
  }

  async #rest(isNothing: boolean, { plan, startedAt }: SentPoll): Promise<void> {
    const rest = this.#quick.restAfter(isNothing && plan.timeout > 0, this.#deps.now() - startedAt);
    if (rest > 0) await this.#deps.sleep(rest, this.#stop.signal);
  }

  /** D26. A device that polls without rooms loses its own cursor only. */
  async #reset(plan: PollPlan): Promise<null> {
    const { account, device } = this.#job;
    this.#log.sinceRefused();
    if (plan.rooms) await this.#deps.resetAccount(account, device);
    else await resetDevice(this.#deps.sql, device);
    this.#move("poll", "reset");
    this.#deps.feed.publish({ type: "news", account, device });
    return null;
  }

  /** Counts a failure; milliseconds to wait. */
  #failed(error: unknown): number {
    const upstream = error instanceof UpstreamError ? error : null;
    const sized = this.#job.rooms ? this.#sizes.failed(error, this.#cursor?.accountSince === null) : null;
    const delay = sized ?? this.#backOff.failed(upstream?.retryAfterMs ?? null, upstream === null && isAway(error) ? DATABASE_CAP_MS : undefined);
    this.#moveFromAny("failed");
    if (sized !== null) this.#log.size(this.#sizes.size, sized, upstream?.message);
    this.#log.failed(error, this.#backOff.failures, delay);
    return delay;
  }
}
