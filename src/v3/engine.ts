/**
 * The engine: from a request to an answer, top to bottom (sync v3, part 1 and 2).
 *
 *   open       the token's session and state; without a token a new session          R3, R8, D3
 *   merge      the request into the sticky parameters                                 R6, D9
 *   page       page requests are answered from their snapshot, and that is all        D14
 *   accept     what the token acknowledges is noted, older requests are ended         R9, D11
 *   wait       evaluate until there is news, the time is over, or a newer request     D7
 *   answer     the parts, and a token for what was sent                               R13
 */

import { goneWake, type WakeKind } from "../feed/hub.ts";
import { untilThrough } from "../store/db.ts";
import { beginFeed } from "../store/feed-events.ts";
import {
  createSession,
  endSessions,
  type FeedUse,
  findSessionState,
  saveListSnapshot,
  saveSessionState,
  touchSession,
  useSession,
} from "../store/sessions.ts";
import { purgeToDevice } from "../store/to-device.ts";
import { JoinedRoomsCache } from "./streams/joined-rooms.ts";
import { RoomCache } from "../sync/room-cache.ts";
import { rowsOfFullRoom } from "./streams/full-room.ts";
import { shownRoomsIn, type SyncAnswer, unknownHeroesIn } from "./streams/answers.ts";
import type { ListCaches } from "./streams/stream.ts";
import { invalidParam, unknownSession } from "../wire/errors.ts";
import type { AccountNo, Position, SessionNo } from "../wire/ids.ts";
import { Arrivals } from "../sync/arrivals.ts";
import { evaluate, type Outcome } from "./evaluate.ts";
import { longPoll } from "../sync/long-poll.ts";
import { kindsOf } from "./interest.ts";
import { answerPages } from "./pages.ts";
import type { StreamKey, SyncParams } from "./params.ts";
import { checkParamBounds } from "./param-bounds.ts";
import type { EngineDeps, EngineOptions, SyncRequest } from "./request.ts";
import { EMPTY_STATE, mergeRequest, type MergedRequest, parseState, serializeState, type SessionState } from "./session-state.ts";
import { openToken, sealToken, type SyncToken } from "./token.ts";
import { Waiter } from "../sync/waiter.ts";
import { meaningOf } from "../sync/wakes.ts";

export const ENGINE_DEFAULTS: EngineOptions = {
  sessionIdleMs: 7 * 24 * 3600 * 1000,
  sessionsPerDevice: 100,
  firstContactMs: 60_000,
  fetchMs: 10_000,
};

type OpenedRequest = { readonly token: SyncToken; readonly state: SessionState; readonly request: MergedRequest };

export class Engine {
  readonly #deps: EngineDeps;
  readonly #draining = new AbortController();
  readonly #arrivals: Arrivals;
  readonly #lists: ListCaches = { joined: new JoinedRoomsCache(), full: new RoomCache(rowsOfFullRoom, 1) };

  constructor(deps: EngineDeps) {
    this.#deps = deps;
    this.#arrivals = new Arrivals(deps.now);
  }

  /** Ends all waits: each request is answered with what there is. For a clean shutdown. */
  drain(): void {
    this.#draining.abort();
  }

  /**
   * Answers a sync request.
   * @throws MatrixError R11 for a token that cannot be used (D3); 400 for page tokens that cannot (D14, D15); 401 (D2).
   */
  async sync(request: SyncRequest): Promise<SyncAnswer> {
    const arrival = this.#arrivals.next();
    const token = request.since === null ? null : openToken(request.since, this.#deps.sign);
    if (request.since !== null && !token) throw unknownSession();
    // The waiter subscribes first, so that of two requests that arrive together exactly one ends the other.
    let kinds: ReadonlySet<WakeKind> | null = null;
    const waiter = new Waiter(
      this.#deps.feed,
      request.account,
      (wake) =>
        meaningOf(wake, {
          device: request.device,
          arrival,
          kinds,
          isOfSame: (other) => other.type === "session" && other.session === token?.session,
        }),
      [request.signal, this.#draining.signal],
    );
    try {
      const opened = await this.#open(request, token);
      if (request.since !== null && opened.request.pages.size > 0) {
        await touchSession(this.#deps.sql, opened.token.session, opened.token.state);
        return await answerPages(this.#deps, {
          ...request,
          ...opened,
          since: request.since,
          lists: this.#lists,
          ownTokens: this.#deps.ownTokens ?? false,
        });
      }
      kinds = kindsOf(opened.request.params);
      if (token) await this.#accept(request, opened);
      this.#deps.feed.publish({ type: "session", account: request.account, session: opened.token.session, request: arrival });
      return await this.#wait(request, opened, waiter);
    } finally {
      waiter.close();
    }
  }

  async #open(request: SyncRequest, token: SyncToken | null): Promise<OpenedRequest> {
    const { sql, feed, options } = this.#deps;
    const { account, device } = request;
    if (!token) {
      const merged = mergeRequest(EMPTY_STATE, request.body);
      checkParamBounds(merged.params);
      if (merged.pages.size > 0) throw invalidParam("A page token goes with the `since` that it came with");
      const { params } = merged;
      const wanted = { account, device, takesPart: "to_device" in params, presence: "presence" in params, feed: feedUse(params) };
      const created = await createSession(sql, wanted, options.sessionsPerDevice);
      // The device has logged out since the request was authenticated.
      if (!created) throw unknownSession();
      if (created.ended > 0) feed.publish(goneWake(account));
      return { token: firstToken(created.session), state: EMPTY_STATE, request: merged };
    }
    const found = await findSessionState(sql, device, token, options.sessionIdleMs);
    if (found.kind === "ahead") {
      // Our database was restored. Once it has caught up, such tokens would look valid but skip what came in between (D26).
      await untilThrough(() => endSessions(sql, account));
      feed.publish(goneWake(account));
    }
    if (found.kind !== "found") throw unknownSession();
    const state = parseState(found.body);
    const merged = mergeRequest(state, request.body);
    checkParamBounds(merged.params);
    return { token, state, request: merged };
  }

  /** Only an accepted request acknowledges (B3), and only what was sent with a token that had the stream (B1). */
  async #accept(request: SyncRequest, { token, state, request: merged }: OpenedRequest): Promise<void> {
    const had = "to_device" in state.params;
    const has = "to_device" in merged.params;
    // If members or the feed lag behind, what they still need must not be deleted.
    const members = state.streams.room_members ? token.members : token.position;
    const position = Math.min(token.position, members, token.feed) as Position;
    const freed = await useSession(this.#deps.sql, {
      account: request.account,
      session: token.session,
      state: token.state,
      position,
      acked: had ? token.toDevice : null,
      takesPart: has ? true : had ? false : null,
      presence: "presence" in merged.params,
      feed: feedUse(merged.params),
    });
    if (merged.params.feed && !state.params.feed) await untilThrough(() => beginFeed(this.#deps.sql, request.account));
    if (freed) await untilThrough(() => purgeToDevice(this.#deps.sql, request.device));
  }

  #wait(request: SyncRequest, opened: OpenedRequest, waiter: Waiter): Promise<SyncAnswer> {
    const { sql, sign, now, ownTokens = false, askBundles, options } = this.#deps;
    const { account, device } = request;
    const started = now();
    const deadline = started + request.timeout;
    const firstDeadline = request.since === null ? started + options.firstContactMs : deadline;
    const { state } = opened;
    let { token } = opened;
    return longPoll({ ...this.#deps, fetchMs: options.fetchMs }, waiter, {
      account,
      device,
      tokenHash: request.tokenHash,
      session: token.session,
      isFirst: request.since === null,
      evaluate: async (tried, late) => {
        const question = { account, device, token, state, request: opened.request, lists: this.#lists, ownTokens, askBundles, tried, late };
        const outcome = await evaluate(sql, sign, question, now());
        if (!outcome) throw unknownSession();
        return outcome;
      },
      answerAt: ({ news, complete }) => (news ? 0 : complete ? deadline : Math.max(deadline, firstDeadline)),
      beforeNext: (outcome) => {
        // Nothing was found up to here: the next evaluation starts from here and is shorter.
        if (outcome.complete && outcome.parts.length === 0 && sameState(state, outcome.state)) token = { ...token, ...outcome.cursors };
      },
      answer: (outcome) => this.#answer(account, token, state, outcome),
      superseded: () => ({ parts: [], complete: true, next: request.since ?? sealToken(opened.token, sign), now: started }),
      gone: unknownSession,
    });
  }

  async #answer(account: AccountNo, token: SyncToken, before: SessionState, outcome: Outcome): Promise<SyncAnswer> {
    const { sign } = this.#deps;
    const state = await this.#stateOf(token, before, outcome);
    if (state === null) throw unknownSession();
    const next = sealToken({ ...token, ...outcome.cursors, state }, sign);
    const { parts, complete, now } = outcome;
    this.#deps.learnHeroes(account, unknownHeroesIn(parts));
    if (before === EMPTY_STATE) this.#deps.checkBeginnings(account, shownRoomsIn(parts));
    return { parts, complete, next, now };
  }

  /**
   * The number of the state for the next token; null: the session is gone. The state of a first answer is always saved, because that commit also
   * puts the session on the disk.
   */
  async #stateOf({ session, state }: SyncToken, before: SessionState, outcome: Outcome): Promise<number | null> {
    const { sql } = this.#deps;
    if (state === 0 || !sameState(before, outcome.state)) {
      return saveSessionState(sql, session, serializeState(outcome.state), outcome.snapshot);
    }
    if (outcome.snapshot) await saveListSnapshot(sql, session, outcome.snapshot);
    return state;
  }
}

/** Streams that stay right when somebody is no longer ignored (D25). */
const UNSHAKEN: ReadonlySet<string> = new Set<StreamKey>(["feed", "to_device", "e2ee", "account_data"]);

function feedUse(params: SyncParams): FeedUse | null {
  if (!params.feed) return null;
  return Object.keys(params).every((key) => UNSHAKEN.has(key)) ? "alone" : "beside";
}

function firstToken(session: SessionNo): SyncToken {
  const start = 0 as Position;
  return { session, state: 0, position: start, toDevice: 0, e2ee: 0, members: start, feed: start, page: 0 };
}

function sameState(a: SessionState, b: SessionState): boolean {
  return a === b || serializeState(a) === serializeState(b);
}
