/**
 * Thread subscriptions (MSC4306) are in no v2 answer. A homeserver that has sliding sync itself tells them there (MSC4308): while a client asks for
 * them, one connection of that extension alone is kept with it, one for an account, and what it brings is stored like a v2 answer.
 *
 * It never names rooms or other extensions, so it acknowledges nothing and takes nothing from anybody.
 */

import type { SecretBox } from "../base/secret-box.ts";
import type { Logger } from "../base/logger.ts";
import type { Feed } from "../feed/hub.ts";
import type { Sql } from "../store/db.ts";
import { forgetThreadsPos, storeThreads, threadsPos } from "../store/thread-subscriptions.ts";
import { isObject } from "../wire/identifier.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import { readThreadChanges, type StampedChange, THREADS_EXTENSION, THREADS_PATH } from "../wire/thread-subscriptions.ts";
import { hasFeatures, SIMPLIFIED_SYNC, THREAD_SUBSCRIPTIONS } from "../wire/versions.ts";
import { BackOff } from "./back-off.ts";
import type { HomeserverClient } from "./client.ts";
import { loadDeviceToken } from "./device-token.ts";
import { UpstreamError } from "./upstream-error.ts";

/** Length of a long poll, ms. */
const POLL_MS = 30_000;
/** Changes in one answer, and in one page of older ones; the most pages. */
const LIMIT = 100;
const PAGE = 500;
const MAX_PAGES = 20;
/** How long a homeserver without them, or a device without a usable token, is left alone, ms. */
const LACKING_MS = 600_000;
const TOKENLESS_MS = 30_000;

export type ThreadDeps = {
  readonly sql: Sql;
  readonly box: SecretBox;
  readonly client: Pick<HomeserverClient, "get" | "slidingSync">;
  readonly feed: Pick<Feed, "publish">;
  readonly logger: Logger;
  /** 0 to 1. */
  readonly random: () => number;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
};

/** `device`: the one whose token is used. */
type ThreadJob = { readonly account: AccountNo; readonly epoch: number; readonly device: DeviceNo };

export class ThreadPoller {
  readonly #deps: ThreadDeps;
  readonly #job: ThreadJob;
  readonly #backOff: BackOff;
  readonly #stop = new AbortController();
  /** The homeserver has them, for this user. */
  #isThere = false;
  /** Where the last of some answers ended that brought nothing, and were not stored; null: none. */
  #unstored: string | null = null;
  /** The homeserver does not know the position any more: what is stored is compared with everything. */
  #isPosLost = false;

  constructor(deps: ThreadDeps, job: ThreadJob) {
    this.#deps = deps;
    this.#job = job;
    this.#backOff = new BackOff(deps.random);
  }

  /** Polls until it is stopped; never rejects. Call it once. */
  async run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      // oxlint-disable-next-line no-await-in-loop -- one after the other
      const rest = await this.#poll().catch((reason: unknown) => this.#restAfter(reason));
      // oxlint-disable-next-line no-await-in-loop
      if (rest > 0) await this.#deps.sleep(rest, signal).catch(() => {});
    }
  }

  stop(): void {
    this.#stop.abort(new Error("nobody asks for thread subscriptions"));
  }

  /** Asks once, and stores. @returns how long to wait before the next time, ms */
  async #poll(): Promise<number> {
    const { sql, client, feed } = this.#deps;
    const { account, device } = this.#job;
    const token = await loadDeviceToken(this.#deps, device);
    if (typeof token === "string") return TOKENLESS_MS;
    this.#isThere ||= hasFeatures((await client.get(token.text, "/_matrix/client/versions", {}, this.#stop.signal)).text, [
      SIMPLIFIED_SYNC,
      THREAD_SUBSCRIPTIONS,
    ]);
    if (!this.#isThere) return LACKING_MS;
    if (this.#isPosLost) await forgetThreadsPos(sql, account);
    this.#isPosLost = false;
    const asked = await threadsPos(sql, account);
    const answer = await this.#ask(token.text, this.#unstored ?? asked);
    this.#backOff.succeeded();
    if (answer.changes.length === 0 && asked !== null) {
      this.#unstored = answer.pos;
      return 0;
    }
    const stored = await storeThreads(sql, { ...this.#job, asked, ...answer });
    this.#unstored = null;
    if (stored !== "stale" && stored > 0) feed.publish({ type: "news", account, kinds: new Set(["thread_subscriptions"]), rooms: new Set() });
    return stored === "stale" ? TOKENLESS_MS : 0;
  }

  /** What changed after `pos` (null: everything), with the pages that the answer did not hold. */
  async #ask(token: string, pos: string | null) {
    const { client } = this.#deps;
    const { signal } = this.#stop;
    const body = { conn_id: "syncv3", extensions: { [THREADS_EXTENSION]: { enabled: true, limit: LIMIT } } };
    const answer: unknown = JSON.parse((await client.slidingSync(token, { pos, timeout: pos === null ? 0 : POLL_MS }, body, signal)).text);
    const { pos: end, extensions } = isObject(answer) ? answer : {};
    if (typeof end !== "string" || end === "") throw new UpstreamError("bad_answer", "the homeserver's sliding sync answered without a pos");
    const first = readThreadChanges(isObject(extensions) ? extensions[THREADS_EXTENSION] : null);
    const changes: StampedChange[] = [...first.changes];
    let from = first.next;
    for (let page = 0; from !== null && page < MAX_PAGES; page += 1) {
      // oxlint-disable-next-line no-await-in-loop -- each goes on where the last one ended
      const { text } = await client.get(token, THREADS_PATH, { dir: "b", limit: PAGE, from, to: pos }, signal);
      const older = readThreadChanges(JSON.parse(text));
      changes.push(...older.changes);
      from = older.next === from ? null : older.next;
    }
    return { pos: end, changes: inOrder(changes), rest: from };
  }

  /** @returns how long to wait, ms */
  #restAfter(error: unknown): number {
    if (this.#stop.signal.aborted) return 0;
    const { account } = this.#job;
    const upstream = error instanceof UpstreamError ? error : null;
    if (upstream?.kind === "bad_since") {
      this.#unstored = null;
      this.#isPosLost = true;
    }
    const reason = error instanceof Error ? error.message : String(error);
    this.#deps.logger.debug({ account, reason }, "The homeserver could not be asked for thread subscriptions; it will be tried again");
    return this.#backOff.failed(upstream?.retryAfterMs ?? null);
  }
}

/** Each thread once, as it changed last. */
function inOrder(changes: readonly StampedChange[]): StampedChange[] {
  const sorted = changes.toSorted((a, b) => a.stamp - b.stamp);
  return [...new Map(sorted.map((one) => [`${one.roomId} ${one.root}`, one])).values()].toSorted((a, b) => a.stamp - b.stamp);
}
