/**
 * Compares an account's rooms with the homeserver's, whose v2 answers do not say that a room was deleted, purged or forgotten elsewhere (T1).
 *
 *     due ──/joined_rooms──> a room of ours is missing there ──30 s──> its own membership says so, too ──> it ends
 *
 * No answer to a client waits for any of this. What is found is stored like an answer of the homeserver, and clients get it as an ordinary
 * change.
 */

import type { Logger } from "../../base/logger.ts";
import type { SecretBox } from "../../base/secret-box.ts";
import type { Feed } from "../../feed/hub.ts";
import type { Sql } from "../../store/db.ts";
import type { Lease } from "../../store/leases.ts";
import {
  type Asker,
  type DoubtedRoom,
  doubtOn,
  type DueCheck,
  dueChecks,
  dueDoubts,
  endDoubt,
  finishCheck,
  joinedRooms,
  pendingInvites,
  postponeCheck,
} from "../../store/room-checks.ts";
import { openToken } from "../../store/tokens.ts";
import { isObject } from "../../wire/identifier.ts";
import type { AccountNo, Position, RoomId } from "../../wire/ids.ts";
import type { V2Response } from "../../wire/v2-response.ts";
import type { HomeserverClient } from "../client.ts";
import { isHomeserverTrouble, UpstreamError } from "../upstream-error.ts";
import { compareWhole } from "./compare-whole.ts";
import { madeLeave } from "./made-leave.ts";
import type { QuestionBudget, Urgency } from "./question-budget.ts";
import { storeFound } from "./store-found.ts";

export type ReconcilerDeps = {
  readonly sql: Sql;
  readonly client: Pick<HomeserverClient, "joinedRooms" | "member" | "sync">;
  readonly box: SecretBox;
  readonly feed: Pick<Feed, "publish">;
  readonly logger: Pick<Logger, "info" | "warn">;
  readonly questions: Pick<QuestionBudget, "ask">;
  /** Between the first look at a room and the second, ms. Default 30 s. */
  readonly secondLookMs?: number | undefined;
};

type Task = {
  readonly urgency: Urgency;
  readonly ask: () => Promise<void>;
  readonly failed: (isTrouble: boolean) => Promise<void>;
};

const SECOND_LOOK_MS = 30_000;
/** Most of each kind that are read at a time. */
const MOST = 20;
/** After the homeserver was in trouble, and after it refused the question, ms. */
const RETRY_MS = { trouble: 60_000, refused: 3_600_000, busy: 20_000 };

/** So many rooms do not end at once before a sync without `since` says so, too. */
function isMass(missing: number, of: number): boolean {
  return missing === of || (missing > 10 && missing > of / 5);
}

/** @param text a member event, or its content alone */
function membershipIn(text: string): unknown {
  const event = JSON.parse(text) as Readonly<Record<string, unknown>>;
  return (isObject(event["content"]) ? event["content"] : event)["membership"];
}

export class Reconciler {
  readonly #deps: ReconcilerDeps;

  constructor(deps: ReconcilerDeps) {
    this.#deps = deps;
  }

  /** Does what is due for those accounts, until the homeserver is in trouble. */
  async run(leases: readonly Lease[], signal: AbortSignal): Promise<void> {
    const { sql, secondLookMs = SECOND_LOOK_MS } = this.#deps;
    const epochs = new Map(leases.map(({ account, epoch }) => [account, epoch]));
    const accounts = [...epochs.keys()];
    let isMore = true;
    while (isMore && !signal.aborted) {
      // oxlint-disable-next-line no-await-in-loop -- who has come meanwhile is first among the next
      const [doubts, checks] = await Promise.all([dueDoubts(sql, accounts, secondLookMs, MOST), dueChecks(sql, accounts, MOST)]);
      const tasks: Task[] = [
        ...doubts.map((doubt) => ({
          urgency: "client" as const,
          ask: () => this.#lookAgain(doubt, epochs, signal),
          failed: () => doubtOn(sql, doubt),
        })),
        ...checks.map((check) => ({
          urgency: check.first ? ("client" as const) : ("nobody" as const),
          ask: () => this.#compare(check, epochs, signal),
          failed: (isTrouble: boolean) => postponeCheck(sql, check.account, isTrouble ? RETRY_MS.trouble : RETRY_MS.refused),
        })),
      ];
      // oxlint-disable-next-line no-await-in-loop -- one question at a time
      isMore = (await this.#doAll(tasks, signal)) && checks.length === MOST;
    }
  }

  /** False: the homeserver is in trouble. */
  async #doAll(tasks: readonly Task[], signal: AbortSignal): Promise<boolean> {
    const { questions } = this.#deps;
    for (const { urgency, ask, failed } of tasks) {
      // oxlint-disable no-await-in-loop -- one question at a time
      try {
        await questions.ask(urgency, signal, ask);
      } catch (error) {
        if (signal.aborted || !(error instanceof UpstreamError)) throw error;
        const isTrouble = isHomeserverTrouble(error);
        await failed(isTrouble);
        if (isTrouble) return false;
      }
      // oxlint-enable no-await-in-loop
    }
    return true;
  }

  /** The first look: which rooms of ours does the homeserver not list? */
  async #compare(check: DueCheck, epochs: ReadonlyMap<AccountNo, number>, signal: AbortSignal): Promise<void> {
    const { sql, client, box, logger } = this.#deps;
    const { account, comparable } = check;
    const ours = await joinedRooms(sql, account);
    const listed = new Set(await client.joinedRooms(openToken(box, check), signal));
    let missing = ours.filter((room) => !listed.has(room));
    const isNeeded = missing.length > 0 && isMass(missing.length, ours.length);
    const pending = comparable ? await pendingInvites(sql, check) : [];
    if (comparable && (isNeeded || pending.length > 0)) {
      const store = (response: V2Response, since: ReadonlyMap<RoomId, Position>) => this.#store(check, epochs, response, since);
      const whole = await compareWhole({ ...this.#deps, store }, { check, pending, purpose: "rooms" }, signal);
      if (whole === "busy") return postponeCheck(sql, account, RETRY_MS.busy);
      if (isNeeded) missing = missing.filter((room) => !whole.has(room));
    } else if (isNeeded) {
      logger.warn({ account, rooms: missing.length }, "Many rooms of the account are missing at the homeserver; a full sync will be asked tomorrow");
      missing = [];
    }
    await finishCheck(sql, check, missing);
  }

  /** The second look: does the room's own state agree? */
  async #lookAgain(doubt: DoubtedRoom, epochs: ReadonlyMap<AccountNo, number>, signal: AbortSignal): Promise<void> {
    const { sql, client, box, logger } = this.#deps;
    const { account, userId, roomId, position } = doubt;
    const member = await client.member(openToken(box, doubt), roomId, userId, signal);
    if (member === null || membershipIn(member) !== "join") {
      const ended = await this.#store(doubt, epochs, madeLeave([roomId], userId, Date.now()), new Map([[roomId, position]]));
      if (ended) logger.info({ account }, "A room that the homeserver no longer has for the user has ended");
    }
    await endDoubt(sql, doubt);
  }

  #store(asker: Asker, epochs: ReadonlyMap<AccountNo, number>, response: V2Response, since: ReadonlyMap<RoomId, Position>): Promise<boolean> {
    return storeFound(this.#deps, { asker, epoch: epochs.get(asker.account) ?? 0, response, since });
  }
}
