/**
 * One v2 loop of one device: ask, ingest, tell whoever waits, ask again.
 *
 *     load ──> poll ──200──> ingest ──stored──> poll (30 s)
 *      │        │               └─ stale ─────> load, or end where the lease is gone
 *      │        ├─ unknown token ─> mark it dead ─> load (the next live token), or end: none left
 *      │        ├─ bad since, twice ─> reset (D26) ─> load
 *      │        ├─ too large, or too slow ─> poll for less: see sync-size.ts
 *      └────────┴─ anything else ─> back off, then poll (0 s)
 *
 * The homeserver deletes to-device messages when `since` advances, so nothing is asked for with a new `since` before ingest committed it.
 * A room poller whose device stands elsewhere than the account's rooms (it takes over from another device) first polls without rooms
 * until its own to-device queue is empty and acknowledged, then goes on where the rooms stand.
 */

import { reasonOf } from "../base/abort.ts";
import { isAway } from "../base/database-needs.ts";
import { SealError } from "../base/secret-box.ts";
import { type PollState, pollState, resetDevice } from "../store/devices.ts";
import { isLeaseHeld } from "../store/leases.ts";
import { markDead, newestLiveToken, openToken } from "../store/tokens.ts";
import type { AccountNo, DeviceNo, RoomId } from "../wire/ids.ts";
import { BackOff } from "./back-off.ts";
import type { Answer } from "./client.ts";
import type { DeviceLists } from "./ingest/device-lists.ts";
import type { IngestResult } from "./ingest/ingest-result.ts";
import { tellEarly } from "./early-rooms.ts";
import { MissedLists } from "./missed-lists.ts";
import { PollSignal } from "./poll-signal.ts";
import { PollerLog } from "./poller-log.ts";
import { PollTrouble } from "./poll-trouble.ts";
import type { Plan, PollerDeps, PollerEnd, PollerJob } from "./poller-types.ts";
import { SizeSteps } from "./sync-size.ts";
import { QuietAnswers } from "./quiet-answers.ts";
import { UpstreamError } from "./upstream-error.ts";
import { v2Filter } from "./v2-filter.ts";

/** Length of a long poll, ms. */
const POLL_MS = 30_000;
/** The longest wait where the database was not there, ms: the homeserver did nothing wrong, and asking the database costs little. */
const DATABASE_CAP_MS = 5000;

type Token = { readonly hash: Buffer; readonly text: string };
/** Where it stands. `unstored`: where the last of some answers ended that said nothing new, and were not stored. */
type Place = PollState & { readonly unstored: string | null };

export class Poller {
  readonly #deps: PollerDeps;
  readonly #job: PollerJob;
  readonly #backOff: BackOff;
  readonly #log: PollerLog;
  readonly #stop = new AbortController();
  readonly #poll = new PollSignal();
  #presence: boolean;
  #token: Token | null = null;
  /** A token that must not be sent again, not yet written down as dead. */
  #dying: { readonly hash: Buffer; readonly softLogout: boolean } | null = null;
  #place: Place | null = null;
  #quiet: QuietAnswers;
  readonly #missedLists: MissedLists;
  /** When a poll of the rooms last succeeded; at first, when this began. */
  #polledRoomsAt: number;
  readonly #sizes: SizeSteps;
  readonly #trouble: PollTrouble;
  /** Polls in a row, before a take-over, that found the device's to-device queue empty. */
  #drained = 0;
  /** Ask with timeout=0: at first, and after errors. */
  #hurry = true;
  /** Keys were uploaded: what is remembered of the device is from before that. */
  #keysUploaded = false;
  #badSinces = 0;
  #stales = 0;
  #quickEmpties = 0;

  constructor(deps: PollerDeps, job: PollerJob) {
    this.#deps = deps;
    this.#job = job;
    this.#log = new PollerLog(deps.logger, this.#names());
    this.#presence = job.presence;
    this.#backOff = new BackOff(deps.random);
    this.#quiet = new QuietAnswers(deps.now);
    this.#sizes = new SizeSteps(deps.now);
    this.#trouble = new PollTrouble(deps.sql, deps.logger, deps.now);
    this.#missedLists = new MissedLists(deps, job);
    this.#polledRoomsAt = deps.now();
  }

  get polledRoomsAt(): number {
    return this.#polledRoomsAt;
  }

  /** Polls until it ends; never rejects. Call it once. */
  async run(): Promise<PollerEnd> {
    while (!this.#stop.signal.aborted) {
      try {
        const end = await this.#step();
        if (end !== null) return end;
      } catch (error) {
        if (this.#stop.signal.aborted) break;
        const delay = this.#failed(error);
        await this.#trouble.failed(this.#names(), error);
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

  /** Whether somebody asks for presence; a change asks the homeserver anew at once. */
  setPresence(presence: boolean): void {
    if (presence === this.#presence) return;
    this.#presence = presence;
    this.#hurry = true;
    this.#poll.cut("the filter changed");
  }

  /** A client has uploaded keys of the device (T11): the next poll says how many there are, and is sent at once. */
  keysUploaded(): void {
    this.#keysUploaded = true;
    this.#poll.cutUnlessFirst("keys were uploaded");
  }

  async #step(): Promise<PollerEnd | null> {
    await this.#buryToken();
    if (this.#keysUploaded) this.#startOver();
    try {
      this.#token ??= await this.#loadToken();
    } catch (error) {
      if (!(error instanceof SealError)) throw error;
      this.#deps.logger.error(
        { ...this.#names() },
        "The device's stored token was encrypted with another secret. Polling resumes when the client sends a request with its token",
      );
      return "unusable";
    }
    if (!this.#token) return "no_token";
    this.#place ??= await this.#loadPlace();
    if (!this.#place) return "deleted";
    const plan = this.#plan(this.#place);
    const startedAt = this.#deps.now();
    const isFirst = plan.rooms && plan.since === null;
    if (isFirst && this.#place.untouched) await this.#tellEarly(this.#token, this.#place);
    const token = this.#token;
    const ask = (received?: (bytes: number) => void) => this.#ask(token, plan, startedAt, received);
    const answer = await (isFirst ? this.#deps.firstSyncs.run(this.#job.account, this.#names(), ask) : ask());
    if (answer === null) return null;
    const toRead = plan.size === "bare" ? await this.#deps.client.joinedRooms(token.text, this.#stop.signal) : undefined;
    const lists = await this.#missedLists.ask(token.text, answer.text, this.#stop.signal, toRead ? this.#place.accountSince : null);
    const unstored = plan.overlap || plan.drain || toRead || lists ? null : this.#quiet.repeated(answer, plan.rooms);
    if (unstored !== null) {
      this.#place = { ...this.#place, unstored };
      this.#succeeded(plan);
      await this.#restAfterNothing(true, plan, startedAt);
      return null;
    }
    const result = await this.#ingest(this.#place, plan, answer, { ...(toRead && { toRead }), ...(lists && { lists }) });
    if (isFirst && result.kind === "stored") this.#log.firstSync(result.news, answer, this.#deps.now() - startedAt);
    const end = await this.#digest(result, plan);
    if (result.kind === "stored") this.#missedLists.stored();
    if (result.kind === "stored" && result.countsAreOld) this.#keysUploaded = true;
    const isNothing =
      !this.#keysUploaded && result.kind === "stored" && result.news.kinds.size === 0 && result.news.rooms.size === 0 && !result.toDevice;
    this.#quiet.stored(answer, plan.rooms, isNothing);
    await this.#restAfterNothing(isNothing, plan, startedAt);
    return end;
  }

  /** Asks at once, from what is stored now. */
  #startOver(): void {
    this.#keysUploaded = false;
    this.#place = null;
    this.#quiet = new QuietAnswers(this.#deps.now);
    this.#hurry = true;
  }

  async #loadPlace(): Promise<Place | null> {
    const state = await pollState(this.#deps.sql, this.#job.device);
    return state && { ...state, unstored: null };
  }

  async #tellEarly(token: Token, place: Place): Promise<void> {
    this.#place = { ...place, untouched: false };
    const { account, device, epoch } = this.#job;
    const isTold = await tellEarly(this.#deps, { account, device, epoch, userId: place.userId }, token.text, this.#stop.signal);
    if (isTold) this.#deps.feed.publish({ type: "news", account });
  }

  #plan(place: Place): Plan {
    const timeout = this.#hurry ? 0 : POLL_MS;
    const { accountSince, deviceSince, unstored } = place;
    const { size } = this.#sizes;
    if (!this.#job.rooms) return { since: unstored ?? deviceSince, rooms: false, overlap: deviceSince === null, drain: false, timeout, size: "full" };
    const takeOver = accountSince !== deviceSince;
    if (takeOver && this.#drained < 2)
      return { since: deviceSince, rooms: false, overlap: deviceSince === null, drain: true, timeout: 0, size: "full" };
    return {
      since: unstored ?? accountSince,
      rooms: true,
      overlap: takeOver || accountSince === null,
      drain: false,
      timeout: takeOver ? 0 : timeout,
      size,
    };
  }

  /** The answer; null: ask anew (another filter, another token). Throws what is waited out. */
  async #ask(token: Token, plan: Plan, startedAt: number, received?: (bytes: number) => void): Promise<Answer | null> {
    if (this.#stop.signal.aborted) throw reasonOf(this.#stop.signal);
    const signal = this.#poll.begin(plan.since === null);
    const filter = v2Filter({ rooms: plan.rooms, presence: this.#presence, first: plan.since === null, size: plan.size });
    try {
      const query = { since: plan.since, timeout: plan.timeout, filter };
      const answer = await this.#deps.client.sync(token.text, query, signal, received);
      // Homeservers look at the token when a poll begins, not again when it ends.
      this.#deps.leases.proven(token.hash, startedAt);
      this.#badSinces = 0;
      return answer;
    } catch (error) {
      if (this.#stop.signal.aborted) throw error;
      if (signal.aborted) return null;
      if (error instanceof UpstreamError && error.kind === "unknown_token") {
        this.#dying = { hash: token.hash, softLogout: error.softLogout };
        this.#token = null;
        return null;
      }
      if (error instanceof UpstreamError && error.kind === "bad_since") {
        // Twice, so that a homeserver that stumbles once does not cost the account its sessions.
        this.#badSinces += 1;
        if (this.#badSinces >= 2) return this.#reset(plan);
      }
      throw error;
    }
  }

  #ingest(place: Place, plan: Plan, answer: Answer, beside: { readonly toRead?: RoomId[]; readonly lists?: DeviceLists }): Promise<IngestResult> {
    const { account, device, epoch } = this.#job;
    const { userId, accountSince, deviceSince, keyUploads } = place;
    return this.#deps.ingest({
      account,
      device,
      userId,
      epoch,
      rooms: plan.rooms,
      accountSince,
      deviceSince,
      overlap: plan.overlap,
      keyUploads,
      ...beside,
      text: answer.text,
      now: answer.receivedAt,
    });
  }

  async #digest(result: IngestResult, plan: Plan): Promise<PollerEnd | null> {
    const { account, device, epoch } = this.#job;
    if (result.kind === "stale") {
      this.#place = null;
      if (!(await isLeaseHeld(this.#deps.sql, this.#deps.leases.owner, { account, epoch }))) return "stale";
      this.#stales += 1;
      if (this.#stales > 1) throw new Error("the polled position differs from the stored one, twice in a row");
      return null;
    }
    this.#succeeded(plan);
    if (plan.drain) this.#drained = result.toDevice ? 0 : this.#drained + 1;
    const { nextBatch, news, batch, setAside } = result;
    if (setAside) this.#log.setAside(setAside);
    if (this.#place) this.#place = { ...this.#place, unstored: null, deviceSince: nextBatch, ...(plan.rooms ? { accountSince: nextBatch } : {}) };
    if (news.kinds.size > 0 || news.rooms.size > 0) {
      this.#deps.feed.publish({ type: "news", account, device, kinds: news.kinds, rooms: news.rooms, ...(batch && { batch }) });
    }
    return null;
  }

  #succeeded(plan: Plan): void {
    if (plan.rooms) this.#deps.leases.polled(this.#job.account, (this.#polledRoomsAt = this.#deps.now()));
    if (plan.rooms) this.#sizes.succeeded();
    this.#backOff.succeeded();
    this.#trouble.ended();
    this.#hurry = false;
    this.#stales = 0;
  }

  /** A homeserver that answers long polls at once, with nothing, must not be asked in a tight loop. */
  async #restAfterNothing(isNothing: boolean, plan: Plan, startedAt: number): Promise<void> {
    if (!isNothing || plan.timeout === 0 || this.#deps.now() - startedAt >= 1000) {
      this.#quickEmpties = 0;
      return;
    }
    this.#quickEmpties += 1;
    if (this.#quickEmpties > 3) await this.#deps.sleep(Math.min(1000, 10 * 2 ** Math.min(this.#quickEmpties, 10)), this.#stop.signal);
  }

  /** D26. A device that polls without rooms loses its own place only. */
  async #reset(plan: Plan): Promise<null> {
    const { account, device } = this.#job;
    this.#deps.logger.warn(this.#names(), "The homeserver does not know the position of the last poll; syncing from scratch");
    if (plan.rooms) await this.#deps.resetAccount(account, device);
    else await resetDevice(this.#deps.sql, device);
    this.#badSinces = 0;
    this.#place = null;
    this.#drained = 0;
    this.#hurry = true;
    this.#deps.feed.publish({ type: "news", account, device });
    return null;
  }

  async #loadToken(): Promise<Token | null> {
    const sealed = await newestLiveToken(this.#deps.sql, this.#job.device);
    return sealed && { hash: sealed.tokenHash, text: openToken(this.#deps.box, sealed) };
  }

  /** Writes down that the token is dead (B57); whoever waits is told, to answer 401. */
  async #buryToken(): Promise<void> {
    if (!this.#dying) return;
    await markDead(this.#deps.sql, this.#dying.hash, this.#dying.softLogout);
    this.#dying = null;
    this.#hurry = true;
    this.#deps.logger.info(this.#names(), "The homeserver no longer accepts the device's token");
    const { account, device } = this.#job;
    this.#deps.feed.publish({ type: "news", account, device, kinds: new Set(["gone"]), rooms: new Set() });
  }

  /** Counts a failure; milliseconds to wait. */
  #failed(error: unknown): number {
    const upstream = error instanceof UpstreamError ? error : null;
    const sized = this.#job.rooms ? this.#sizes.failed(error, this.#place?.accountSince === null) : null;
    const delay = sized ?? this.#backOff.failed(upstream?.retryAfterMs ?? null, upstream === null && isAway(error) ? DATABASE_CAP_MS : undefined);
    this.#hurry = true;
    // Of an ingest that failed we do not know whether it was committed: what is stored decides where to go on.
    this.#place = null;
    if (sized !== null) this.#log.size(this.#sizes.size, sized, upstream?.message);
    const { failures } = this.#backOff;
    const level = failures === 1 || failures % 10 === 0 ? "warn" : "debug";
    const what = upstream ? { kind: upstream.kind, reason: upstream.message } : { err: error };
    this.#deps.logger[level]({ ...this.#names(), ...what, failures, delay: Math.round(delay) }, "A poll failed; it will be tried again");
    return delay;
  }

  #names(): { readonly account: AccountNo; readonly device: DeviceNo } {
    return { account: this.#job.account, device: this.#job.device };
  }
}
