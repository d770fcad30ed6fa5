/**
 * Fetches what the homeserver withheld of users whom an account ignores no more (T2), then ends the account's sessions (R11): what they were sent
 * lacks it.
 *
 *     un-ignored ──> invites: one sync without `since` ──┐
 *            └─────> messages: the rooms' newest page ───┴── all stored, or a minute is over ──> sessions end
 *
 * Rooms that were not read by then get a gap, and rereads.ts reads them later. The database says what is due, so that any process can go on; a user
 * who is ignored again meanwhile is forgotten here.
 */

import { withDeadline } from "../../base/abort.ts";
import { needOf } from "../../base/database-needs.ts";
import type { Logger } from "../../base/logger.ts";
import type { SecretBox } from "../../base/secret-box.ts";
import { type Feed, goneWake } from "../../feed/hub.ts";
import type { Lease } from "../../store/leases.ts";
import { type DueCheck, pendingInvites } from "../../store/room-checks.ts";
import { openToken } from "../../store/tokens.ts";
import {
  areInvitesAwaited,
  beginInvites,
  type CandidateRoom,
  candidateRooms,
  dueFreshStarts,
  dueInvites,
  endInvites,
  type FreshStart,
  postponeInvites,
} from "../../store/unignored.ts";
import type { AccountNo, Position, RoomId, UserId } from "../../wire/ids.ts";
import { isCutKey } from "../../wire/index-key.ts";
import type { V2Response } from "../../wire/v2-response.ts";
import type { HomeserverClient } from "../client.ts";
import { type RoomPage, storeWithheld } from "../ingest/store-withheld.ts";
import { readWithheld, type WithheldDeps } from "../read-withheld.ts";
import { isHomeserverTrouble, isNotThere, UpstreamError } from "../upstream-error.ts";
import { compareWhole } from "./compare-whole.ts";
import { storeFound } from "./store-found.ts";

export type UnignoredDeps = WithheldDeps & {
  readonly client: Pick<HomeserverClient, "messages" | "member" | "sync">;
  readonly box: SecretBox;
  readonly feed: Pick<Feed, "publish">;
  readonly logger: Pick<Logger, "info" | "warn">;
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Runs work in the background, and waits for it when the server stops. */
  readonly spawn: (work: Promise<void>) => void;
  /** So long after the un-ignoring what was fetched is stored, and sessions end, ms. Default 55 s: within a minute that is done. */
  readonly freshStartMs?: number | undefined;
};

const FRESH_START_MS = 55_000;
/** Most rooms of one account that are read before its sessions end, and at the same time. */
const MOST_ROOMS = 200;
const AT_ONCE = 4;
/** Until the next try, ms: of a room, of the invites, of a room that has a gap. */
const RETRY_MS = { room: 2000, busy: 2000, invites: 20_000, gap: 60_000 };
/** Between two looks whether the invites are stored, ms. */
const LOOK_MS = 200;

export class Unignored {
  readonly #deps: UnignoredDeps;
  readonly #running = new Set<string>();

  constructor(deps: UnignoredDeps) {
    this.#deps = deps;
  }

  /** Begins what is due for those accounts; does not wait for it. */
  async run(leases: readonly Lease[], signal: AbortSignal): Promise<void> {
    const { sql, freshStartMs = FRESH_START_MS } = this.#deps;
    const epochs = new Map(leases.map(({ account, epoch }) => [account, epoch]));
    const accounts = [...epochs.keys()];
    const [starts, invites] = await Promise.all([dueFreshStarts(sql, accounts, freshStartMs), dueInvites(sql, accounts)]);
    for (const check of invites) {
      this.#begin("invites", check.account, signal, () => this.#fetchInvites(check, epochs.get(check.account) ?? 0, signal));
    }
    for (const start of starts) {
      this.#begin("messages", start.account, signal, () => this.#fetchMessages(start, epochs.get(start.account) ?? 0, signal));
    }
  }

  /** One at a time of each kind and account. A failure is logged; what is due stays so. */
  #begin(kind: "invites" | "messages", account: AccountNo, signal: AbortSignal, work: () => Promise<void>): void {
    const name = `${kind} ${account}`;
    if (this.#running.has(name)) return;
    this.#running.add(name);
    const done = work()
      .catch((err: unknown) => {
        if (!signal.aborted)
          this.#deps.logger.warn({ err, account, kind }, "What was withheld of an ignored user could not be fetched; it will be tried again");
      })
      .finally(() => this.#running.delete(name));
    this.#deps.spawn(done);
  }

  async #fetchInvites(due: DueCheck, epoch: number, signal: AbortSignal): Promise<void> {
    const { sql, questions } = this.#deps;
    const { account } = due;
    const position = await beginInvites(sql, account);
    if (position === null) return;
    const check = { ...due, position };
    const store = (response: V2Response, since: ReadonlyMap<RoomId, Position>) => storeFound(this.#deps, { asker: due, epoch, response, since });
    try {
      const pending = await pendingInvites(sql, check);
      const found = await questions.ask("client", signal, () =>
        compareWhole({ ...this.#deps, store }, { check, pending, purpose: "invites" }, signal),
      );
      await (found === "busy" ? postponeInvites(sql, account, RETRY_MS.busy) : endInvites(sql, account));
    } catch (error) {
      if (!signal.aborted) await postponeInvites(sql, account, RETRY_MS.invites);
      throw error;
    }
  }

  async #fetchMessages(start: FreshStart, epoch: number, signal: AbortSignal): Promise<void> {
    const { sql, feed, logger } = this.#deps;
    const { account, users, leftMs } = start;
    const rooms = await candidateRooms(sql, account, users);
    const read = new Map<RoomId, RoomPage | null>();
    const fetch = async (within: AbortSignal): Promise<void> => {
      await this.#readRooms(start, rooms, read, within);
      // oxlint-disable-next-line no-await-in-loop -- until they are stored
      while (await areInvitesAwaited(sql, account)) await this.#deps.sleep(LOOK_MS, within);
    };
    const late = new Error("late");
    try {
      if (leftMs > 0) await withDeadline(signal, leftMs, () => late, fetch);
    } catch (error) {
      if (error !== late) throw error;
    }
    const unread = rooms.map(({ roomId }) => roomId).filter((roomId) => !read.has(roomId));
    const pages = [...read.values()].filter((page) => page !== null);
    if ((await this.#store(start, epoch, pages, unread)) !== "stored") return;
    feed.publish(goneWake(account));
    logger.info({ account, rooms: pages.length, unread: unread.length }, "Somebody is no longer ignored: the account's sessions begin from scratch");
  }

  /** If something cannot be stored, the rooms have gaps: rereads.ts finds out which one it is. */
  async #store({ account, device, users }: FreshStart, epoch: number, pages: readonly RoomPage[], unread: readonly RoomId[]) {
    const { sql, logger } = this.#deps;
    const input = { account, device, epoch, now: Date.now(), pages, restart: { users, unread, retryMs: RETRY_MS.gap } };
    try {
      return await storeWithheld(sql, input);
    } catch (err) {
      if (needOf(err) !== "unknown" || pages.length === 0) throw err;
      logger.warn({ err, account }, "What was withheld of an ignored user could not be stored; it will be tried again room by room");
      const all = [...pages.map(({ roomId }) => roomId), ...unread];
      return await storeWithheld(sql, { ...input, pages: [], restart: { ...input.restart, unread: all } });
    }
  }

  /** Puts into `read` what it finds; null: the users were never there. Rooms that cannot be read are left out. */
  async #readRooms(start: FreshStart, rooms: readonly CandidateRoom[], read: Map<RoomId, RoomPage | null>, signal: AbortSignal): Promise<void> {
    const token = openToken(this.#deps.box, start);
    const left = rooms.values();
    let pages = 0;
    const work = async (): Promise<void> => {
      for (const room of left) {
        if (pages >= MOST_ROOMS) return;
        // oxlint-disable-next-line no-await-in-loop -- so many at once as there are workers
        const page = await this.#untilRead(start, token, room, signal);
        if (page === "failed") continue;
        read.set(room.roomId, page);
        if (page) pages += 1;
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
  }

  async #untilRead(start: FreshStart, token: string, room: CandidateRoom, signal: AbortSignal): Promise<RoomPage | null | "failed"> {
    for (;;) {
      // oxlint-disable no-await-in-loop -- one try after the other
      try {
        return await this.#readRoom(start, token, room, signal);
      } catch (error) {
        if (signal.aborted) throw error;
        if (isNotThere(error)) return null;
        if (error instanceof UpstreamError && !isHomeserverTrouble(error)) return "failed";
        await this.#deps.sleep(error instanceof UpstreamError ? (error.retryAfterMs ?? RETRY_MS.room) : RETRY_MS.room, signal);
      }
      // oxlint-enable no-await-in-loop
    }
  }

  async #readRoom({ account, users }: FreshStart, token: string, { roomId, isMember }: CandidateRoom, signal: AbortSignal): Promise<RoomPage | null> {
    const { client, questions } = this.#deps;
    const known = new Map<UserId, string>();
    // A key that stands for a longer id cannot be asked for.
    let mayBeThere = isMember !== null || users.some(isCutKey);
    for (const user of mayBeThere ? [] : users) {
      // oxlint-disable-next-line no-await-in-loop -- one question at a time
      const text = await questions.ask("client", signal, () => client.member(token, roomId, user, signal));
      if (text !== null) known.set(user, text);
    }
    mayBeThere ||= known.size > 0;
    return mayBeThere ? readWithheld(this.#deps, { account, token, roomId, known }, signal) : null;
  }
}
