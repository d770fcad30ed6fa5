/**
 * Reads from the homeserver again what an answer left incomplete: rooms and account data that could not be stored (N3), rooms of which two
 * sections contradicted each other (N1), and the rooms of an account whose answers are too large (N4). Until then such a room has a gap. Also
 * asks what bans have redacted (T5), and reads rooms whose withheld messages could not be fetched in time (T2).
 */

import { gunzipSync } from "node:zlib";

import { needOf } from "../base/database-needs.ts";
import type { Logger } from "../base/logger.ts";
import type { SecretBox } from "../base/secret-box.ts";
import type { Feed } from "../feed/hub.ts";
import { type Sql, writeTx } from "../store/db.ts";
import type { Lease } from "../store/leases.ts";
import { completeAccount, type DueReread, dueRereads, finishReread, postponeReread, readSetAside } from "../store/rereads.ts";
import { openToken } from "../store/tokens.ts";
import type { EventId, RoomId } from "../wire/ids.ts";
import { isCutKey } from "../wire/index-key.ts";
import { cutResponse, type V2JoinedRoom, type V2Response } from "../wire/v2-response.ts";
import { BanRedactions } from "./ban-redactions.ts";
import type { HomeserverClient } from "./client.ts";
import { storeReread } from "./ingest/store-reread.ts";
import { storeWithheld } from "./ingest/store-withheld.ts";
import { readRoom } from "./read-room.ts";
import { readWithheld, type WithheldDeps } from "./read-withheld.ts";
import { isNotThere, UpstreamError } from "./upstream-error.ts";

export type RereadsDeps = {
  readonly sql: Sql;
  readonly client: Pick<HomeserverClient, "accountData" | "roomAccountData" | "state" | "messages" | "member" | "event">;
  readonly questions: WithheldDeps["questions"];
  readonly box: SecretBox;
  readonly feed: Pick<Feed, "publish">;
  readonly logger: Pick<Logger, "info" | "warn">;
};

/** Most in one run, and at the same time. */
const MOST = 20;
const AT_ONCE = 2;
/** Between tries: doubles from the first value to the last, ms. */
const REST_MS = { first: 60_000, last: 24 * 3_600_000 };
/** About a month of tries. After that only the room's next gap triggers another read. */
const MOST_TRIES = 40;

export class Rereads {
  readonly #deps: RereadsDeps;
  readonly #bans: BanRedactions;

  constructor(deps: RereadsDeps) {
    this.#deps = deps;
    this.#bans = new BanRedactions(deps.client);
  }

  /** Reads what is due for those accounts. An entry that fails waits, and the others go on, unless the homeserver or the database is in trouble. */
  async run(leases: readonly Lease[], signal: AbortSignal): Promise<void> {
    const epochs = new Map(leases.map(({ account, epoch }) => [account, epoch]));
    let isOver = false;
    while (!isOver) {
      // oxlint-disable-next-line no-await-in-loop -- what is due in an order
      const due = await dueRereads(this.#deps.sql, [...epochs.keys()], MOST);
      const left = due.values();
      const work = async () => {
        for (const entry of left) {
          if (isOver || signal.aborted) return;
          // oxlint-disable-next-line no-await-in-loop -- so many at once as there are workers
          const result = await this.#read(entry, epochs.get(entry.account) ?? 0, signal);
          if (result === "not ours") epochs.delete(entry.account);
          else if (result === "trouble") isOver = true;
        }
      };
      // oxlint-disable-next-line no-await-in-loop
      await Promise.all(Array.from({ length: AT_ONCE }, work));
      isOver ||= due.length < MOST || signal.aborted;
    }
  }

  /**
   * "not ours": another process has the account now, or its token is not accepted. "trouble": nothing can be read at present, whatever
   * the entry.
   */
  async #read(entry: DueReread, epoch: number, signal: AbortSignal): Promise<"done" | "not ours" | "trouble"> {
    const { sql, feed, logger } = this.#deps;
    const { account, kind, tries } = entry;
    try {
      const left = await this.#readAndStore(entry, epoch, signal);
      if (left === null) return "not ours";
      await this.#settle(entry, left === 0);
      if (await completeAccount(sql, account)) feed.publish({ type: "news", account, kinds: new Set(["complete"]), rooms: new Set() });
      logger.info({ account, kind, left }, left === 0 ? "Postponed data is now stored" : "Part of the postponed data is now stored");
      return "done";
    } catch (error) {
      if (signal.aborted || isTroubleForAll(error)) return "trouble";
      if (error instanceof UpstreamError && (error.kind === "unknown_token" || error.kind === "locked")) return "not ours";
      await this.#settle(entry, isNotThere(error));
      logger.info({ account, kind, tries, reason: error instanceof Error ? error.message : String(error) }, "Postponed data could not be read");
      return "done";
    }
  }

  /** Ends the entry, or schedules another try. */
  async #settle(entry: DueReread, isOver: boolean): Promise<void> {
    const { sql } = this.#deps;
    if (isOver || entry.tries >= MOST_TRIES) await writeTx(sql, (tx) => finishReread(tx, entry));
    else await postponeReread(sql, entry, restAfter(entry.tries));
  }

  /** How much could not be stored; null: another process has the account now. */
  async #readAndStore(entry: DueReread, epoch: number, signal: AbortSignal): Promise<number | null> {
    const { sql, box, feed } = this.#deps;
    const { account, device, userId } = entry;
    if (entry.kind === "withheld") return await this.#readWithheld(entry, epoch, signal);
    const { response, now } = await this.#ask(entry, openToken(box, entry), signal);
    const result = await storeReread(sql, { account, device, userId, epoch, response, now, inPart: entry.kind === "ban" });
    if (result.kind === "stale") return null;
    const { kinds, rooms } = result.news;
    if (kinds.size > 0) feed.publish({ type: "news", account, kinds, rooms });
    return result.left;
  }

  async #readWithheld({ account, device, name, ...token }: DueReread, epoch: number, signal: AbortSignal): Promise<0 | null> {
    const { sql, box, feed } = this.#deps;
    const roomId = name as RoomId;
    const page = await readWithheld(this.#deps, { account, token: openToken(box, token), roomId, known: new Map() }, signal);
    const result = await storeWithheld(sql, { account, device, epoch, now: Date.now(), pages: [page] });
    if (result === "stale") return null;
    feed.publish({ type: "news", account, kinds: new Set(["timeline", "members"]), rooms: new Set([roomId]) });
    return 0;
  }

  async #ask(entry: DueReread, token: string, signal: AbortSignal): Promise<{ response: V2Response; now: number }> {
    const { client, sql } = this.#deps;
    const { userId, name } = entry;
    if (entry.kind === "ban") {
      const text = await this.#bans.read(sql, entry.account, name as EventId, token, signal);
      return { response: cutResponse(text ?? '{"next_batch":"read"}', Date.now()), now: Date.now() };
    }
    if (entry.kind === "account_data" && isCutKey(name)) {
      const stored = await readSetAside(sql, entry);
      return { response: cutResponse(stored ? gunzipSync(stored).toString("utf8") : '{"next_batch":"read"}', Date.now()), now: Date.now() };
    }
    if (entry.kind === "account_data") {
      const content = await client.accountData(token, userId, name, signal);
      const event = `{"type":${JSON.stringify(name)},"content":${content ?? "{}"}}`;
      return { response: cutResponse(`{"next_batch":"read","account_data":{"events":[${event}]}}`, Date.now()), now: Date.now() };
    }
    const roomId = name as RoomId;
    const read = await readRoom(client, { me: userId, token, roomId }, signal);
    const section = read.membership === "join" ? "join" : "leave";
    const response = cutResponse(`{"next_batch":"read","rooms":{"${section}":{${JSON.stringify(roomId)}:${read.text}}}}`, read.receivedAt);
    const room = response[section].get(roomId);
    if (room) await this.#addTheRest(entry, room, token, signal);
    return { response, now: read.receivedAt };
  }

  /**
   * Adds what neither /state nor /messages has: account data of the types that were set aside is requested, receipts are taken from what was
   * set aside. So is account data whose type may not fit in a path.
   */
  async #addTheRest(entry: DueReread, room: V2JoinedRoom, token: string, signal: AbortSignal): Promise<void> {
    const { sql, client } = this.#deps;
    const stored = await readSetAside(sql, entry);
    const before = stored ? sectionsIn(gunzipSync(stored).toString("utf8"), entry.name as RoomId) : [];
    room.ephemeral.receipts = before.flatMap(({ ephemeral }) => ephemeral.receipts);
    const items = new Map(before.flatMap(({ accountData }) => accountData.map((item) => [item.type, item] as const)));
    room.accountData.push(...[...items.values()].filter(({ type }) => isCutKey(type)));
    const types = [...items.keys()].filter((type) => !isCutKey(type));
    const asked = types.map(async (type) => [type, await client.roomAccountData(token, entry.userId, entry.name as RoomId, type, signal)] as const);
    for (const [type, content] of await Promise.all(asked)) {
      const text = `{"type":${JSON.stringify(type)},"content":${content ?? "{}"}}`;
      const { accountData } = cutResponse(`{"next_batch":"read","account_data":{"events":[${text}]}}`, 0);
      room.accountData.push(...accountData);
    }
  }
}

function sectionsIn(text: string, roomId: RoomId): V2JoinedRoom[] {
  const { join, leave } = cutResponse(text, Date.now());
  return [join.get(roomId), leave.get(roomId)].filter((section) => section !== undefined);
}

/** What a reverse proxy answers for a homeserver that is down. A 500 or a time-out may concern only one room. */
const AWAY: readonly unknown[] = [502, 503, 504];

/** Whether anything else that is read now would fail as well. Narrower than isHomeserverTrouble: one room may be the reason for a 500 or a time-out. */
export function isTroubleForAll(error: unknown): boolean {
  if (error instanceof UpstreamError) return error.kind === "rate_limited" || error.kind === "unreachable" || AWAY.includes(error.status);
  return needOf(error) !== "unknown";
}

function restAfter(tries: number): number {
  return Math.min(REST_MS.last, REST_MS.first * 2 ** Math.min(tries, 20));
}
