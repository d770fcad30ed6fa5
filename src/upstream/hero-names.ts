/**
 * Member events of heroes that polls did not bring, so that rooms without a name are named by display names instead of user ids (T14). They are
 * fetched in the background: no answer waits for them.
 */

import { LRUCache } from "lru-cache";
import type { Logger } from "../base/logger.ts";
import type { SecretBox } from "../base/secret-box.ts";
import { Slots } from "../base/slots.ts";
import type { Feed } from "../feed/hub.ts";
import type { Sql } from "../store/db.ts";
import { liveToken } from "../store/fetch-start.ts";
import { claimHeroes, postponeHeroes, type RoomHero } from "../store/hero-asks.ts";
import { openToken } from "../store/tokens.ts";
import type { AccountNo, RoomId, UserId } from "../wire/ids.ts";
import type { HomeserverClient } from "./client.ts";
import { learnHeroes } from "./ingest/learn-heroes.ts";

export type HeroNamesDeps = {
  readonly sql: Sql;
  readonly client: Pick<HomeserverClient, "member">;
  readonly box: SecretBox;
  readonly feed: Pick<Feed, "publish">;
  readonly logger: Logger;
  readonly now: () => number;
};

/** Most heroes that are fetched for one request of a client; how many of those that it was sent are looked at. */
const MOST = 20;
const MOST_CHECKED = 500;
/** Questions in progress at the same time, in this process. */
const AT_ONCE = 2;
/** A hero is asked for once in this time, ms; if the homeserver was away, after the second one. */
const REST_MS = 24 * 3_600_000;
const RETRY_MS = 600_000;

export class HeroNames {
  readonly #deps: HeroNamesDeps;
  readonly #stop = new AbortController();
  readonly #running = new Set<Promise<void>>();
  readonly #slots = new Slots(AT_ONCE);
  /** Heroes that are stored or were asked for, so that the database need not be asked. */
  readonly #settled = new LRUCache<string, true>({ max: 100_000, ttl: REST_MS });

  constructor(deps: HeroNamesDeps) {
    this.#deps = deps;
  }

  /** Begins to fetch those of the heroes that have no stored member event and were not asked for in the last 24 hours. */
  learn(account: AccountNo, heroes: readonly RoomHero[]): void {
    const open = heroes.filter((hero) => !this.#settled.has(keyOf(account, hero))).slice(0, MOST_CHECKED);
    if (open.length === 0 || this.#stop.signal.aborted) return;
    const work = this.#learn(account, open)
      .catch((error: unknown) => this.#deps.logger.info({ account, reason: reasonText(error) }, "Display names could not be fetched"))
      .finally(() => this.#running.delete(work));
    this.#running.add(work);
  }

  /** Ends what is under way. */
  async close(): Promise<void> {
    this.#stop.abort(new Error("stopping"));
    await Promise.allSettled(this.#running);
  }

  async #learn(account: AccountNo, open: readonly RoomHero[]): Promise<void> {
    const { sql, box } = this.#deps;
    const due = await claimHeroes(sql, account, open, { ms: REST_MS, limit: MOST });
    for (const hero of due.length < MOST ? open : due) this.#settled.set(keyOf(account, hero), true);
    const left = Map.groupBy(due, (hero) => hero.roomId);
    try {
      const sealed = due.length > 0 && (await liveToken(sql, account));
      if (!sealed) return;
      const token = openToken(box, sealed);
      for (const [roomId, ofRoom] of left) {
        // oxlint-disable-next-line no-await-in-loop -- in the background there is no hurry
        await this.#learnRoom(account, token, roomId, ofRoom);
        left.delete(roomId);
      }
    } finally {
      const again = [...left.values()].flat();
      for (const hero of again) this.#settled.delete(keyOf(account, hero));
      if (again.length > 0) await postponeHeroes(sql, account, again, RETRY_MS);
    }
  }

  async #learnRoom(account: AccountNo, token: string, roomId: RoomId, heroes: readonly RoomHero[]): Promise<void> {
    const { sql, client, feed, now } = this.#deps;
    const answers = new Map<UserId, string>();
    const ask = async ({ userId }: RoomHero): Promise<void> => {
      const text = await this.#slots.run(this.#stop.signal, () => client.member(token, roomId, userId, this.#stop.signal));
      if (text !== null) answers.set(userId, text);
    };
    await Promise.all(heroes.map(ask));
    const kinds = await learnHeroes(sql, { account, roomId, answers, now: now() });
    if (kinds.size > 0) feed.publish({ type: "news", account, kinds, rooms: new Set([roomId]) });
  }
}

function keyOf(account: AccountNo, { roomId, userId }: RoomHero): string {
  return `${account} ${roomId} ${userId}`;
}

function reasonText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
