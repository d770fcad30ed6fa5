/**
 * What polls do not bring and clients lack, fetched in the background for later answers. No answer waits for it.
 *
 * - Member events of heroes: rooms without a name are then named by display names instead of user ids (T14).
 * - Rooms that the user left before the account's first v2 response and that a client subscribes to (T22). They are read one by one: a /sync
 *   without `since`, even for one room, would cost the homeserver nearly a complete first sync.
 * - Whether the homeserver still has the beginning of what is stored of rooms: an admin may have purged it (T4).
 * - Fields of profiles that a client asks for and nobody asked for before: polls bring them from then on (MSC4262).
 * - What the homeserver bundles with events, where it may have changed and what is stored does not tell how (T7).
 */

import { LRUCache } from "lru-cache";
import type { Logger } from "../base/logger.ts";
import type { SecretBox } from "../base/secret-box.ts";
import { Slots } from "../base/slots.ts";
import type { Feed, WakeKind } from "../feed/hub.ts";
import * as asked from "../store/background-asks.ts";
import type { BackgroundAsk, Claim, RoomHero } from "../store/background-asks.ts";
import type { RoomEvent } from "../store/bundles.ts";
import type { Db, Sql } from "../store/db.ts";
import { syncedToken, syncedUpTo } from "../store/fetch-start.ts";
import { wantProfiles } from "../store/profiles.ts";
import { type AccountToken, openToken } from "../store/tokens.ts";
import type { AccountNo, EventId, RoomId, UserId } from "../wire/ids.ts";
import { isCutKey } from "../wire/index-key.ts";
import { isRoomId } from "../wire/matrix-id.ts";
import { cutResponse } from "../wire/v2-response.ts";
import type { HomeserverClient } from "./client.ts";
import { checkHistory } from "./history-check.ts";
import { learnHeroes } from "./ingest/learn-heroes.ts";
import { storeBundle } from "./ingest/store-bundle.ts";
import { storeLeftRoom } from "./ingest/store-reread.ts";
import type { QuestionBudget, Urgency } from "./reconcile/question-budget.ts";
import { readRoom } from "./read-room.ts";
import { isTroubleForAll } from "./rereads.ts";
import { isNotThere, UpstreamError } from "./upstream-error.ts";

export type BackgroundAsksDeps = {
  readonly sql: Sql;
  readonly client: Pick<HomeserverClient, "member" | "state" | "messages" | "event">;
  readonly box: SecretBox;
  readonly feed: Pick<Feed, "publish">;
  readonly logger: Logger;
  readonly questions: Pick<QuestionBudget, "ask">;
  readonly now: () => number;
};

/** Most heroes or rooms that are fetched for one request of a client; how many of those that it needs are looked at. */
const MOST = 20;
const MOST_CHECKED = 500;
/** Accounts that are asked about at the same time, and questions in progress, in this process. */
const AT_ONCE = 2;
/** Each hero or room is asked for once in this time, ms; if the homeserver was away, after the second one. */
const REST_MS = 24 * 3_600_000;
const RETRY_MS = 600_000;
/** What is bundled with an event is asked for once in this time, ms: it may change again. */
const BUNDLE_REST_MS = 60_000;

/** How one kind of ask is claimed, for how long (`restMs`), and what is done with those of one room. */
type AskJob = {
  /** Default: "client". */
  readonly urgency?: Urgency;
  readonly restMs: number;
  readonly claim: (db: Db, account: AccountNo, asks: readonly BackgroundAsk[], claim: Claim) => Promise<BackgroundAsk[]>;
  readonly learn: (owner: Owner, roomId: RoomId, asks: readonly BackgroundAsk[]) => Promise<ReadonlySet<WakeKind>>;
};
type Owner = AccountToken & { readonly account: AccountNo; readonly token: string };

export class BackgroundAsks {
  readonly #deps: BackgroundAsksDeps;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  /**
   * Nothing is claimed for an account before its turn: if the process ends, the claim of one that still waits would keep others from asking. What no
   * client waits for has slots of its own, since there is much of it after a start.
   */
  readonly #accounts: Readonly<Record<Urgency, Slots>> = { client: new Slots(AT_ONCE), nobody: new Slots(1) };
  readonly #slots: Readonly<Record<Urgency, Slots>> = { client: new Slots(AT_ONCE), nobody: new Slots(1) };
  /** What is stored or was asked for, so that the database need not be asked. */
  readonly #settled = new LRUCache<string, true>({ max: 100_000 });

  constructor(deps: BackgroundAsksDeps) {
    this.#deps = deps;
  }

  /** Begins to fetch those of the heroes that have no stored member event and were not asked for in the last 24 hours. */
  heroes(account: AccountNo, heroes: readonly RoomHero[]): void {
    this.#begin(account, heroes, {
      restMs: REST_MS,
      claim: asked.claimHeroes,
      learn: (owner, roomId, asks) => this.#learnHeroes(owner, roomId, asks),
    });
  }

  /** Begins to fetch those of the rooms that the user was in, as far as they are unknown and were not asked for in the last 24 hours. */
  rooms(account: AccountNo, roomIds: readonly RoomId[]): void {
    const asks = roomIds.filter(isRoomId).map((roomId) => ({ roomId, userId: "" }) as const);
    this.#begin(account, asks, { restMs: REST_MS, claim: asked.claimRooms, learn: (owner, roomId) => this.#learnRoom(owner, roomId) });
  }

  /** Begins to ask whether the beginnings of those of the first rooms are still there that were not asked for in the last 24 hours. */
  beginnings(account: AccountNo, roomIds: readonly RoomId[]): void {
    const asks = roomIds.filter(isRoomId).map((roomId) => ({ roomId, userId: asked.BEGINNING }) as const);
    const learn: AskJob["learn"] = (owner, roomId) => this.#checkHistory(owner, roomId);
    this.#begin(account, asks.slice(0, MOST), { urgency: "nobody", restMs: REST_MS, claim: asked.claimBeginnings, learn });
  }

  /** Begins to ask what the homeserver bundles with those of the events that it was not asked about in the last minute. */
  bundles(account: AccountNo, events: readonly RoomEvent[]): void {
    const asks = events
      .filter(({ roomId, eventId }) => isRoomId(roomId) && !isCutKey(eventId))
      .map(({ roomId, eventId: userId }) => ({ roomId, userId }));
    this.#begin(account, asks, {
      restMs: BUNDLE_REST_MS,
      claim: asked.claimDue,
      learn: (owner, roomId, due) => this.#learnBundles(owner, roomId, due),
    });
  }

  /** Has those fields of profiles polled from now on. */
  profiles(account: AccountNo, fields: readonly string[]): void {
    const { sql, feed, logger } = this.#deps;
    const isSettled = fields.every((field) => this.#settled.has(`${account} profile ${field}`));
    if (isSettled || this.#stop.signal.aborted) return;
    for (const field of fields) this.#settled.set(`${account} profile ${field}`, true, { ttl: REST_MS });
    const work = wantProfiles(sql, account, fields)
      .then((isNew) => {
        if (isNew) feed.publish({ type: "news", account, kinds: new Set(["profile_fields"]), rooms: new Set() });
      })
      .catch((error: unknown) => {
        for (const field of fields) this.#settled.delete(`${account} profile ${field}`);
        logger.warn({ err: error, account }, "Fields of profiles could not be noted; they will be with the next request");
      })
      .finally(() => this.#running.delete(work));
    this.#running.add(work);
  }

  /** Ends what is under way. */
  async close(): Promise<void> {
    this.#stop.abort(new Error("stopping"));
    await Promise.allSettled(this.#running);
  }

  #begin(account: AccountNo, asks: readonly BackgroundAsk[], job: AskJob): void {
    const open = asks.filter((ask) => !this.#settled.has(keyOf(account, ask))).slice(0, MOST_CHECKED);
    if (open.length === 0 || this.#stop.signal.aborted) return;
    // Requests that come meanwhile need not look again.
    this.#settle(account, open, job.restMs);
    const work = this.#accounts[job.urgency ?? "client"]
      .run(this.#stop.signal, () => this.#run(account, open, job))
      .catch((error: unknown) => {
        this.#settle(account, open, null);
        if (!this.#stop.signal.aborted) this.#log(account, error);
      })
      .finally(() => this.#running.delete(work));
    this.#running.add(work);
  }

  /** `ms`: for how long; null: not any more. */
  #settle(account: AccountNo, asks: readonly BackgroundAsk[], ms: number | null): void {
    for (const ask of asks) {
      if (ms !== null) this.#settled.set(keyOf(account, ask), true, { ttl: ms });
      else this.#settled.delete(keyOf(account, ask));
    }
  }

  async #run(account: AccountNo, open: readonly BackgroundAsk[], job: AskJob): Promise<void> {
    const { sql, box, feed } = this.#deps;
    const due = await job.claim(sql, account, open, { ms: job.restMs, limit: MOST });
    if (due.length === MOST) {
      this.#settle(account, open, null);
      this.#settle(account, due, job.restMs);
    }
    if (due.length === 0) return;
    const left = Map.groupBy(due, (ask) => ask.roomId);
    try {
      const found = await syncedToken(sql, account);
      if (!found) throw new Error("no access token of the account is valid");
      const owner = { ...found, account, token: openToken(box, found) };
      for (const [roomId, asks] of left) {
        // oxlint-disable-next-line no-await-in-loop -- in the background there is no hurry
        const kinds = await job.learn(owner, roomId, asks).catch((error: unknown) => this.#passOver(account, error));
        if (kinds.size > 0) feed.publish({ type: "news", account, kinds, rooms: new Set([roomId]) });
        left.delete(roomId);
      }
    } finally {
      const again = [...left.values()].flat();
      if (again.length > 0) await asked.postponeAsks(sql, account, again, RETRY_MS);
    }
  }

  /** Nothing is learned of a room, unless whatever else is asked now would fail as well. */
  #passOver(account: AccountNo, error: unknown): ReadonlySet<WakeKind> {
    const isOfToken = error instanceof UpstreamError && error.kind === "unknown_token";
    if (this.#stop.signal.aborted || isOfToken || isTroubleForAll(error)) throw error;
    this.#log(account, error);
    return new Set();
  }

  #log(account: AccountNo, error: unknown): void {
    const reason = error instanceof Error ? error.message : String(error);
    this.#deps.logger.info({ account, reason }, "Members or rooms could not be fetched in the background");
  }

  async #learnHeroes({ account, token }: Owner, roomId: RoomId, asks: readonly BackgroundAsk[]): Promise<ReadonlySet<WakeKind>> {
    const { sql, client, now } = this.#deps;
    const { signal } = this.#stop;
    const answers = new Map<UserId, string>();
    const ask = async ({ userId }: BackgroundAsk): Promise<void> => {
      const text = userId === "" ? null : await this.#ask(() => client.member(token, roomId, userId as UserId, signal));
      if (text !== null) answers.set(userId as UserId, text);
    };
    await Promise.all(asks.map(ask));
    return learnHeroes(sql, { account, roomId, answers, now: now() });
  }

  /** Asks when the rate of all processes allows it. */
  #ask<T>(question: () => Promise<T>, urgency: Urgency = "client"): Promise<T> {
    const { signal } = this.#stop;
    return this.#slots[urgency].run(signal, () => this.#deps.questions.ask(urgency, signal, question));
  }

  async #checkHistory({ account, token }: Owner, roomId: RoomId): Promise<ReadonlySet<WakeKind>> {
    const { sql, client, now } = this.#deps;
    const { signal } = this.#stop;
    const ask = (eventId: EventId) => this.#ask(() => client.event(token, roomId, eventId, signal), "nobody");
    const isThere = async (eventId: EventId) => (await ask(eventId).catch(nullIfGone)) !== null;
    const isNews = await checkHistory({ sql, account, roomId, isThere, now: now() });
    return isNews ? new Set(["timeline"]) : new Set();
  }

  async #learnBundles({ account, token }: Owner, roomId: RoomId, asks: readonly BackgroundAsk[]): Promise<ReadonlySet<WakeKind>> {
    const { sql, client } = this.#deps;
    const { signal } = this.#stop;
    let isNews = false;
    for (const { userId } of asks) {
      const eventId = userId as EventId;
      // oxlint-disable no-await-in-loop -- in the background there is no hurry
      const synced = await syncedUpTo(sql, account);
      if (!synced) break;
      const text = await this.#ask(() => client.event(token, roomId, eventId, signal)).then((answer) => answer.text, nullIfNotThere);
      if (await storeBundle(sql, { account, roomId, eventId, text, position: synced.position })) isNews = true;
      // oxlint-enable no-await-in-loop
    }
    return isNews ? new Set(["timeline"]) : new Set();
  }

  /** A room that the user may not read, or has not left, changes nothing: polls bring those that the user is in. */
  async #learnRoom({ account, device, userId, token }: Owner, roomId: RoomId): Promise<ReadonlySet<WakeKind>> {
    const { sql, client } = this.#deps;
    const { signal } = this.#stop;
    const asking: Pick<HomeserverClient, "state" | "messages"> = {
      state: (...question) => this.#ask(() => client.state(...question)),
      messages: (...question) => this.#ask(() => client.messages(...question)),
    };
    const read = await readRoom(asking, { me: userId, token, roomId }, signal);
    if (read.membership !== "leave" && read.membership !== "ban") return new Set();
    const text = `{"next_batch":"read","rooms":{"leave":{${JSON.stringify(roomId)}:${read.text}}}}`;
    return storeLeftRoom(sql, { account, device, userId, response: cutResponse(text, read.receivedAt), now: read.receivedAt });
  }
}

function nullIfGone(error: unknown): null {
  if (error instanceof UpstreamError && error.status === 404) return null;
  throw error;
}

function nullIfNotThere(error: unknown): null {
  if (isNotThere(error)) return null;
  throw error;
}

function keyOf(account: AccountNo, { roomId, userId }: BackgroundAsk): string {
  return `${account} ${roomId} ${userId}`;
}
