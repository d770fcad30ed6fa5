/** What an answer needs and a poll does not bring (D24): full member lists, older history. Concurrent requests for the same thing share one fetch. */

import type { SecretBox } from "../base/secret-box.ts";
import type { Logger } from "../base/logger.ts";
import type { Feed } from "../feed/hub.ts";
import type { Sql } from "../store/db.ts";
import { liveToken, oldestToken, syncedUpTo } from "../store/fetch-start.ts";
import { openToken } from "../store/tokens.ts";
import { cutEvent } from "../wire/event.ts";
import type { AccountNo, EventId, RoomId } from "../wire/ids.ts";
import type { HomeserverClient } from "./client.ts";
import { cutAnswer } from "./cut-answer.ts";
import { type HistoryPage, readPage } from "./history-page.ts";
import { learnMembers } from "./ingest/learn-members.ts";
import { storeOlder } from "./ingest/store-older.ts";

/** What can be fetched: the APIs' `Need`. */
export type FetchWish =
  | { readonly kind: "members"; readonly roomId: RoomId }
  | { readonly kind: "older"; readonly roomId: RoomId; /** At least so many events, if there are. */ readonly count: number };

export type FetcherDeps = {
  readonly sql: Sql;
  readonly client: Pick<HomeserverClient, "members" | "messages" | "context">;
  readonly box: SecretBox;
  readonly feed: Pick<Feed, "publish">;
  readonly logger: Logger;
  readonly now: () => number;
};

/** Most events that one request of /messages brings. */
const MOST_OLDER = 100;

export class Fetcher {
  readonly #deps: FetcherDeps;
  readonly #running = new Map<string, Promise<void>>();
  readonly #stop = new AbortController();

  constructor(deps: FetcherDeps) {
    this.#deps = deps;
  }

  /** Fetches and stores; joins a fetch of the same thing that is under way. Resolves when it is stored, rejects if it cannot be fetched. */
  fetch(account: AccountNo, wish: FetchWish): Promise<void> {
    const key = `${account} ${wish.kind} ${wish.roomId}`;
    const running = this.#running.get(key);
    if (running) return running;
    const work = this.#fetch(account, wish).finally(() => this.#running.delete(key));
    this.#running.set(key, work);
    // The request that needed it may have stopped waiting, so the failure is logged here, once.
    work.catch((error: unknown) => {
      if (!this.#stop.signal.aborted) {
        this.#deps.logger.info(
          { account, kind: wish.kind, reason: error instanceof Error ? error.message : String(error) },
          "A fetch from the homeserver failed",
        );
      }
    });
    return work;
  }

  /** Ends fetches that are under way. */
  async close(): Promise<void> {
    this.#stop.abort(new Error("stopping"));
    await Promise.allSettled(this.#running.values());
  }

  async #fetch(account: AccountNo, wish: FetchWish): Promise<void> {
    const sealed = await liveToken(this.#deps.sql, account);
    if (!sealed) throw new Error("no access token of the account is valid");
    const token = openToken(this.#deps.box, sealed);
    await (wish.kind === "members" ? this.#members(account, token, wish.roomId) : this.#older(account, token, wish.roomId, wish.count));
  }

  async #members(account: AccountNo, token: string, roomId: RoomId): Promise<void> {
    const { sql, client, feed } = this.#deps;
    const synced = await syncedUpTo(sql, account);
    if (!synced) throw new Error("the account was not synced yet");
    const { text } = await client.members(token, roomId, synced.since, this.#stop.signal);
    const { chunk } = cutAnswer(text);
    await learnMembers({ sql }, { account, roomId, at: synced.position, memberEventTexts: chunk, now: this.#deps.now() });
    feed.publish({ type: "news", account, kinds: new Set(["members"]), rooms: new Set([roomId]) });
  }

  /**
   * Older events and the state before them. The token at the end of /messages is right before those events. Their state is requested
   * separately: /context of the next older event has the state after it. The tokens of /context are not used, because homeservers disagree
   * about whether `end` includes the event (T23).
   */
  async #older(account: AccountNo, token: string, roomId: RoomId, count: number): Promise<void> {
    const { sql, feed } = this.#deps;
    const [from, synced] = [await oldestToken(sql, account, roomId), await syncedUpTo(sql, account)];
    if (from === null || !synced) throw new Error("no token for the room's history is known");
    const messages = await this.#page(token, roomId, from, Math.min(count, MOST_OLDER));
    const next = messages.end === null ? null : await this.#page(token, roomId, messages.end, 1);
    // There is nothing older: the room begins with these events, although the homeserver gave a token for what is before.
    const begins = next === null || (next.chunk.length === 0 && next.end === null);
    const [before] = next?.chunk ?? [];
    const event = before === undefined ? null : cutEvent(before, this.#deps.now());
    if (!begins && event?.kind !== "event") throw new Error("the homeserver gave no older events");
    const state = event?.kind === "event" ? await this.#stateAfter(token, roomId, event.event_id) : [];
    const prevBatch = begins ? null : messages.end;
    const older = { events: messages.chunk, state, prevBatch, position: synced.position };
    await storeOlder({ sql }, { account, roomId, from, ...older, now: this.#deps.now() });
    feed.publish({ type: "news", account, kinds: new Set(["timeline"]), rooms: new Set([roomId]) });
  }

  #page(token: string, roomId: RoomId, from: string, limit: number): Promise<HistoryPage> {
    return readPage(this.#deps.client, token, { roomId, from, limit }, this.#stop.signal);
  }

  /** The room's state right after an event, without members except for its sender. */
  async #stateAfter(token: string, roomId: RoomId, eventId: EventId): Promise<readonly string[]> {
    const filter = JSON.stringify({ lazy_load_members: true });
    return cutAnswer((await this.#deps.client.context(token, roomId, eventId, { limit: 0, filter }, this.#stop.signal)).text).state;
  }
}
