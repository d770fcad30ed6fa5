/**
 * Fetches what a limited timeline left out, for feeds (S6). Meanwhile the room's events are held, those of other rooms are not.
 *
 *     gap ──/messages, page by page, back to what is stored──> what was missing is sent, then what was held
 *      └─── a minute, 10 000 events, or refused ────────────> a gap is sent, then what was found after it, then what was held
 *
 * The database says which gaps are open, so that any process can go on.
 */

import { withDeadline } from "../base/abort.ts";
import type { Logger } from "../base/logger.ts";
import type { SecretBox } from "../base/secret-box.ts";
import { Slots } from "../base/slots.ts";
import type { Feed } from "../feed/hub.ts";
import type { Sql } from "../store/db.ts";
import { accountsWithGaps, type DueGap, dueGaps, sidesOf } from "../store/ingest/feed.ts";
import type { Lease } from "../store/leases.ts";
import { openToken } from "../store/tokens.ts";
import type { HomeserverClient } from "./client.ts";
import { GapWalk } from "./gap-walk.ts";
import { readPage } from "./history-page.ts";
import { isOwnJoin } from "./ingest/plan-feed.ts";
import { type FoundEvents, storeGap } from "./ingest/store-gap.ts";
import { cutAll } from "./ingest/store-older.ts";
import { isHomeserverTrouble, UpstreamError } from "./upstream-error.ts";

export type FeedGapsDeps = {
  readonly sql: Sql;
  readonly client: Pick<HomeserverClient, "messages">;
  readonly box: SecretBox;
  readonly feed: Pick<Feed, "publish">;
  readonly logger: Pick<Logger, "info" | "warn">;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Runs work in the background, and waits for it when the server stops. */
  readonly spawn: (work: Promise<void>) => void;
  /** So long after it came a gap is sent as one, ms. Default a minute. */
  readonly gapMs?: number | undefined;
};

const GAP_MS = 60_000;
/** Most events that are fetched of a gap. */
const MOST_EVENTS = 10_000;
/** Events that one request asks for: most gaps are small. */
const [FIRST_PAGE, NEXT_PAGE] = [100, 500];
/** Requests at the same time, in this process. */
const AT_ONCE = 8;
/** Until the next try after trouble that says nothing else, ms. */
const RETRY_MS = 2000;

export class FeedGaps {
  readonly #deps: FeedGapsDeps;
  readonly #slots = new Slots(AT_ONCE);
  readonly #running = new Set<string>();

  constructor(deps: FeedGapsDeps) {
    this.#deps = deps;
  }

  /** Begins to fetch the gaps of those accounts; does not wait for it. */
  async run(leases: readonly Lease[], signal: AbortSignal): Promise<void> {
    const { sql, gapMs = GAP_MS } = this.#deps;
    const held = new Set(leases.map(({ account }) => account));
    const accounts = (await accountsWithGaps(sql)).filter((account) => held.has(account));
    for (const gap of await dueGaps(sql, accounts, gapMs)) this.#begin(gap, signal);
  }

  /** One at a time of each room. If it fails, a later run begins again. */
  #begin(gap: DueGap, signal: AbortSignal): void {
    const { logger, spawn, sleep } = this.#deps;
    const { account, room_id } = gap;
    const name = `${account} ${room_id}`;
    if (this.#running.has(name)) return;
    this.#running.add(name);
    const work = this.#close(gap, signal)
      .catch((err: unknown) => {
        if (signal.aborted) return true;
        logger.warn({ err, account }, "Events that are missing for a feed could not be stored; it will be tried again");
        return false;
      })
      .then((isDone) => (isDone ? undefined : sleep(RETRY_MS, signal).catch(() => {})))
      .finally(() => this.#running.delete(name));
    spawn(work);
  }

  /** False: it is to be tried again. */
  async #close(gap: DueGap, signal: AbortSignal): Promise<boolean> {
    const { sql, feed, logger } = this.#deps;
    const { account, room_id } = gap;
    const found = await this.#find(gap, signal);
    if (!found) return false;
    if (!(await storeGap(sql, gap, found))) return true;
    feed.publish({ type: "news", account, kinds: new Set(["feed"]), rooms: new Set([room_id]) });
    if (found.missingBefore !== null) logger.info({ account, events: found.events.length }, "A feed lacks events that could not be fetched");
    return true;
  }

  /** Null: the access token is refused, and there may be another one. */
  async #find(gap: DueGap, signal: AbortSignal): Promise<FoundEvents | null> {
    const { token, prev_batch, after_event, from_join, leftMs } = gap;
    // Without a known beginning, everything older would count as missing.
    const canEnd = from_join || after_event !== null;
    if (!token || !canEnd || leftMs <= 0) return { events: [], missingBefore: prev_batch, device: null };
    const me = token.userId;
    const walk = new GapWalk((event) => from_join && isOwnJoin(event, me));
    const found = { at: prev_batch };
    const late = new Error("late");
    try {
      await withDeadline(
        signal,
        leftMs,
        () => late,
        (within) => this.#walk(gap, openToken(this.#deps.box, token), walk, found, within),
      );
    } catch (error) {
      if (error instanceof UpstreamError && (error.kind === "unknown_token" || error.kind === "locked")) return null;
      if (error !== late && !isRefusal(error)) throw error;
    }
    return { events: walk.missing, missingBefore: walk.isComplete ? null : found.at, device: token.device };
  }

  /** Goes back until the walk is over. `found.at`: how far it is. */
  async #walk(gap: DueGap, token: string, walk: GapWalk, found: { at: string }, signal: AbortSignal): Promise<void> {
    const { sql, client } = this.#deps;
    const { room_id: roomId } = gap;
    for (let limit = FIRST_PAGE; !walk.isOver && walk.missing.length < MOST_EVENTS; limit = NEXT_PAGE) {
      // oxlint-disable no-await-in-loop -- each page begins where the one before ended
      const page = await this.#untilAnswered(signal, () => readPage(client, token, { roomId, from: found.at, limit }, signal));
      const events = cutAll(page.chunk, Date.now());
      const sides = await sidesOf(
        sql,
        gap,
        events.map((event) => event.event_id),
      );
      walk.add({ events, sides, isLast: page.end === null });
      found.at = page.end ?? found.at;
      // oxlint-enable no-await-in-loop
    }
  }

  /** Asks again while the homeserver is in trouble. */
  async #untilAnswered<T>(signal: AbortSignal, ask: () => Promise<T>): Promise<T> {
    for (;;) {
      // oxlint-disable no-await-in-loop -- one try after the other
      try {
        return await this.#slots.run(signal, ask);
      } catch (error) {
        if (signal.aborted || isRefusal(error)) throw error;
        await this.#deps.sleep((error instanceof UpstreamError && error.retryAfterMs) || RETRY_MS, signal);
      }
      // oxlint-enable no-await-in-loop
    }
  }
}

/** Asking again would not help. */
function isRefusal(error: unknown): boolean {
  return error instanceof UpstreamError && !isHomeserverTrouble(error);
}
