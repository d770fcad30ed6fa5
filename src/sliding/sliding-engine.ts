/**
 * Sliding sync (MSC4186), from a request to an answer that is independent of the dialect:
 *
 *   open      the position's state; without a position nothing was sent yet
 *   accept    to-device messages are acknowledged, an older request of the connection is ended
 *   wait      evaluate until there is news, the time is over, or a newer request comes
 *   answer    what there is to send, and a position for what was sent. A first answer creates a connection, which replaces the old one of
 *             that name
 */

import type { Metrics } from "../base/metrics.ts";
import { Gathered } from "../base/gathered.ts";
import { type Feed, goneWake, type Wake } from "../feed/hub.ts";
import {
  acknowledgeSliding,
  type ConnectionHead,
  type HeadAsk,
  noteAsks,
  readConnectionHeads,
  type StateRef,
  touchConnection,
} from "../store/connections.ts";
import { type Sql, untilThrough } from "../store/db.ts";
import { endSessions } from "../store/sessions.ts";
import { unknownPos } from "../wire/errors.ts";
import type { AccountNo, DeviceNo, RoomId } from "../wire/ids.ts";
import type { Presence } from "../wire/presence.ts";
import { Arrivals } from "../sync/arrivals.ts";
import type { FetchDeps } from "../sync/fetches.ts";
import { longPoll } from "../sync/long-poll.ts";
import type { Signer } from "../sync/sealed-token.ts";
import { Waiter } from "../sync/waiter.ts";
import { handedUpToBy, meaningOf } from "../sync/wakes.ts";
import { announcePresence } from "./announced-presence.ts";
import { AccountViews } from "./account-view.ts";
import { beginning, Connections, type OpenedPos } from "./connections.ts";
import { evaluateSliding, type SlidingAnswer, type SlidingCaches, type SlidingOutcome } from "./evaluate.ts";
import { InitialRoomsCache } from "./initial-rooms.ts";
import { asksOf, kindsOf } from "./interest.ts";
import { digestOf, openPos, type Pos, sealPos } from "./pos.ts";
import { joinedRooms, newProfileFields, unknownHeroes } from "./background-wants.ts";
import type { SlidingQuestion } from "./question.ts";
import type { Dialect, SlidingBody } from "./request.ts";

export type SlidingOptions = {
  readonly connectionsPerDevice: number;
  /** How long an account's first request waits for the first v2 response, ms; less than clients are willing to wait. */
  readonly firstContactMs: number;
  /** How long an answer waits for what must be fetched, ms. */
  readonly fetchMs: number;
  /** How often the use of a connection is noted, ms. */
  readonly touchMs: number;
};

export const SLIDING_DEFAULTS: SlidingOptions = {
  connectionsPerDevice: 50,
  firstContactMs: 20_000,
  fetchMs: 3000,
  touchMs: 300_000,
};

export type SlidingDeps = FetchDeps & {
  readonly sql: Sql;
  /** Begins to fetch rooms that the user left before the account's first v2 response (T22). */
  readonly learnRooms: (account: AccountNo, rooms: readonly RoomId[]) => void;
  /** Has those fields of profiles polled (MSC4262). */
  readonly wantProfiles: (account: AccountNo, fields: readonly string[]) => void;
  /** For writing connections. */
  readonly connectionSql: Sql;
  /** Their commits do not wait for the disk. If a crash of the database undoes one, the client starts from scratch. */
  readonly asyncCommits?: boolean;
  readonly feed: Feed;
  readonly sign: Signer;
  readonly ownTokens?: boolean; // see EngineDeps
  readonly options: SlidingOptions;
  /** Default: nothing is measured. */
  readonly metrics?: Pick<Metrics, "wholeRoom">;
};

export type SlidingRequest = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly tokenHash: Buffer;
  /** The account's and device's head shortly after the request arrived; null: not known. */
  readonly head: ConnectionHead | null;
  /** "" if the client names none. */
  readonly connId: string;
  readonly pos: string | null;
  /** ms; a request without a position does not wait. */
  readonly timeout: number;
  readonly body: SlidingBody;
  readonly dialect: Dialect;
  /** `set_presence`; null: it says nothing of the user's presence. */
  readonly presence: Presence | null;
  /** Aborted when the client disconnects. */
  readonly signal: AbortSignal;
};

export type SlidingReply = { readonly pos: string; readonly answer: SlidingAnswer };

/** `handedUpTo`: the highest position delivered in memory since the last evaluation; Infinity if a wake-up came without its batch. */
type Wakes = { handedUpTo: number };

const EMPTY_ANSWER: SlidingAnswer = {
  lists: new Map(),
  rooms: [],
  toDevice: null,
  e2ee: null,
  accountData: { global: [], rooms: new Map() },
  receipts: new Map(),
  typing: new Map(),
  presence: [],
  threads: { changes: [], left: null },
  pending: 0,
  profiles: new Map(),
  stickyEvents: null,
  now: 0,
};

/** The client has moved on. If it reads this answer nevertheless, it says that nothing happened. */
function superseded({ pos }: SlidingRequest): SlidingReply {
  if (pos === null) throw unknownPos();
  return { pos, answer: EMPTY_ANSWER };
}

export class SlidingEngine {
  readonly #deps: SlidingDeps;
  readonly #draining = new AbortController();
  readonly #arrivals: Arrivals;
  readonly #caches: SlidingCaches;
  readonly #heads: Gathered<HeadAsk, ConnectionHead | null>;
  readonly #connections: Connections;

  constructor(deps: SlidingDeps) {
    this.#deps = deps;
    const { metrics } = deps;
    this.#caches = { views: new AccountViews(), initialRooms: new InitialRoomsCache(metrics && ((isKept) => metrics.wholeRoom(isKept))) };
    this.#arrivals = new Arrivals(deps.now);
    this.#heads = new Gathered((asks) => readConnectionHeads(deps.sql, asks), { lanes: 2 });
    deps.feed.observe((wake) => {
      if (wake.type === "news" && wake.batch) this.#caches.views.advance(wake.batch, deps.now());
    });
    this.#connections = new Connections(deps.sql, deps.connectionSql, { ...deps.options, asyncCommits: deps.asyncCommits });
  }

  /** Ends all waits: each request is answered with what there is. For a clean shutdown. */
  drain(): void {
    this.#draining.abort();
  }

  /** @throws MatrixError 400 M_UNKNOWN_POS for a position that cannot be used (any more); 401 (D2). */
  async sync(request: SlidingRequest): Promise<SlidingReply> {
    const { feed, sign } = this.#deps;
    const { account, device } = request;
    const arrival = this.#arrivals.next();
    const pos = request.pos === null ? null : openPos(request.pos, sign);
    if (request.pos !== null && !isOf(pos, request)) throw unknownPos();
    const name = digestOf(request.connId);
    // The waiter subscribes first, so that nothing is missed between the first evaluation and the wait.
    const wakes: Wakes = { handedUpTo: 0 };
    const isOfSame = (wake: Wake): boolean => wake.type === "connection" && wake.device === device && wake.name === name;
    const listening = { device, arrival, isOfSame, kinds: kindsOf(request.body) };
    const heard = (wake: Wake) => {
      const meaning = meaningOf(wake, listening);
      if (meaning === "evaluate") wakes.handedUpTo = Math.max(wakes.handedUpTo, handedUpToBy(wake, device));
      return meaning;
    };
    let hush = () => {};
    const waiter = new Waiter(feed, account, heard, [request.signal, this.#draining.signal]);
    try {
      const opened = pos ? await this.#connections.open(pos) : beginning(account, device, name);
      if (!opened) throw unknownPos();
      feed.publish({ type: "connection", account, device, name, request: arrival });
      hush = announcePresence(feed, { account, device, name }, request, opened.state.state);
      return await this.#wait(request, opened, waiter, wakes);
    } finally {
      waiter.close();
      hush();
    }
  }

  #wait(request: SlidingRequest, first: OpenedPos, waiter: Waiter, wakes: Wakes): Promise<SlidingReply> {
    const { now, ownTokens = false, askBundles, options } = this.#deps;
    const { account, device, body, dialect } = request;
    const isFirst = request.pos === null;
    const started = now();
    const answerAt = (outcome: SlidingOutcome): number =>
      isFirst ? started + patienceFor(outcome, options) : outcome.news ? 0 : started + request.timeout;
    let isNew = true;
    let opened = first;
    let head: ConnectionHead | null = null;
    const evaluate = async (tried: ReadonlySet<string>): Promise<SlidingOutcome> => {
      const known = head;
      head = null;
      const { pos, state } = opened;
      return this.#evaluate({ account, device, pos, state: state.state, body, dialect, ownTokens, askBundles, tried }, known);
    };
    return longPoll({ ...this.#deps, fetchMs: options.fetchMs }, waiter, {
      account,
      device,
      tokenHash: request.tokenHash,
      session: first.pos.session,
      isFirst,
      evaluate: async (tried) => {
        if (!isNew) return evaluate(tried);
        isNew = false;
        ({ opened, head } = await this.#accept(request, opened));
        const outcome = await evaluate(tried);
        await this.#touch(opened, outcome, body);
        // The head that came with a first request may be older than the waiter, so it is read again before the request waits.
        const mustWait = isFirst && outcome.needs.length === 0 && now() < answerAt(outcome);
        return mustWait ? evaluate(tried) : outcome;
      },
      answerAt,
      beforeNext: (outcome, end) => {
        head = end === "evaluate" && wakes.handedUpTo > 0 ? this.#caches.views.ahead(account, outcome.head, wakes.handedUpTo) : null;
        wakes.handedUpTo = 0;
      },
      // A first request creates a connection that replaces an older one. If a newer request came, its connection must not be replaced.
      answer: async (outcome) => (isFirst && waiter.pending === "superseded" ? superseded(request) : this.#answer(request, opened, outcome)),
      superseded: () => superseded(request),
      gone: unknownPos,
    });
  }

  /** @throws MatrixError 400 M_UNKNOWN_POS if the connection or its state is gone */
  async #evaluate(question: SlidingQuestion, head: ConnectionHead | null): Promise<SlidingOutcome> {
    const { sql, feed, now } = this.#deps;
    const outcome = await evaluateSliding(sql, this.#caches, question, now(), head);
    if (outcome === "ahead") {
      await untilThrough(() => endSessions(sql, question.account));
      feed.publish(goneWake(question.account));
    }
    if (outcome === "ahead" || outcome === "gone") throw unknownPos();
    if (outcome.complete) this.#deps.learnRooms(question.account, outcome.unknown);
    this.#deps.wantProfiles(question.account, newProfileFields(question.body.extensions, outcome.head));
    return outcome;
  }

  /** Reads the head for the first evaluation, and acknowledges what the client has received. */
  async #accept(request: SlidingRequest, opened: OpenedPos): Promise<{ readonly opened: OpenedPos; readonly head: ConnectionHead }> {
    const { sql, options } = this.#deps;
    const found = await this.#find(request, opened);
    const { toDevice } = request.body.extensions;
    const { acknowledged } = found.head;
    if (toDevice && (!acknowledged || acknowledged.seq < toDevice.since || acknowledged.agoMs > options.touchMs)) {
      await acknowledgeSliding(sql, request, toDevice.since, options.touchMs);
    }
    return found;
  }

  /** A state that is cached may be deleted: then its position is opened again. */
  async #find({ device, head: known }: SlidingRequest, opened: OpenedPos): Promise<{ readonly opened: OpenedPos; readonly head: ConnectionHead }> {
    const { session } = opened.pos;
    if (session === null) {
      const head = known ?? (await this.#heads.ask({ device, at: null }));
      if (!head) throw unknownPos();
      return { opened, head };
    }
    const pos: Pos = { ...opened.pos, session };
    const head = await this.#heads.ask({ device, at: pos });
    if (head) return { opened, head };
    const again = await this.#connections.reopen(pos);
    const later = again && (await this.#heads.ask({ device, at: again.pos }));
    if (!later) throw unknownPos();
    return { opened: again, head: later };
  }

  /** Notes that the connection is in use, and what the client has acknowledged. If its state changes, that is noted with the new one. */
  async #touch({ pos: { session, state, position }, state: before }: OpenedPos, outcome: SlidingOutcome, body: SlidingBody): Promise<void> {
    const { sql, options } = this.#deps;
    const { idleMs, fromState, asks } = outcome.head;
    if (session !== null) await noteAsks(sql, session, asks, asksOf(body));
    const isDue = idleMs > options.touchMs || (fromState < state && outcome.state === before.state);
    if (session !== null && isDue) await touchConnection(sql, { session, state }, position);
  }

  async #answer(request: SlidingRequest, { pos, state }: OpenedPos, outcome: SlidingOutcome): Promise<SlidingReply> {
    const { position, e2ee, upstream } = outcome;
    const sent = await this.#noted(request, { pos, state }, outcome);
    this.#deps.learnHeroes(request.account, unknownHeroes(outcome.answer));
    if (pos.session === null) this.#deps.checkBeginnings(request.account, joinedRooms(outcome.answer));
    return { pos: sealPos({ ...pos, ...sent, position, e2ee, upstream }, this.#deps.sign), answer: outcome.answer };
  }

  /** Stores the connection's state after an answer. */
  async #noted(request: SlidingRequest, { pos, state }: OpenedPos, outcome: SlidingOutcome): Promise<StateRef> {
    const { session, state: number, mark } = pos;
    if (session !== null) {
      const stored = await this.#connections.follow({ session, state: number, mark }, state, outcome);
      if (!stored) throw unknownPos();
      return stored;
    }
    const begun = await this.#connections.begin({ ...request, asks: asksOf(request.body) }, outcome);
    // The device has logged out since the request was authenticated.
    if (!begun) throw unknownPos();
    if (begun.ended > 0) this.#deps.feed.publish(goneWake(request.account));
    return begun;
  }
}

/** Whether a position belongs to the requested connection of this device. */
function isOf(pos: Pos | null, { account, device, connId }: SlidingRequest): boolean {
  return pos?.account === account && pos.device === device && pos.conn === digestOf(connId);
}

/** How long a connection's first answer waits for more, ms. */
function patienceFor({ head, answer, complete }: SlidingOutcome, options: SlidingOptions): number {
  // Rooms that were read early are worth an answer without the others.
  if (head.joinedRooms !== null && answer.rooms.length > 0) return 0;
  if (!complete) return options.firstContactMs;
  // The key counts of a device that was never polled are unknown, and without them clients make no keys.
  return answer.e2ee?.oneTimeKeys === null ? options.fetchMs : 0;
}
