/**
 * Sliding sync (MSC4186), from a request to an answer that is independent of the dialect:
 *
 *   open      the position's state; without a position nothing was sent yet
 *   accept    to-device messages are acknowledged, an older request of the connection is ended
 *   wait      evaluate until there is news, the time is over, or a newer request comes
 *   answer    what there is to send, and a position for what was sent. A first answer creates a connection, which replaces the old one of
 *             that name
 */

import { LRUCache } from "lru-cache";
import type { Metrics } from "../base/metrics.ts";
import { Gathered } from "../base/gathered.ts";
import { type Feed, goneWake, type Wake } from "../feed/hub.ts";
import { ConnectionWriter } from "../store/connection-writer.ts";
import {
  acknowledgeSliding,
  type Asks,
  type ConnectionHead,
  endConnection,
  findConnectionState,
  type HeadAsk,
  noteAsks,
  readConnectionHeads,
  type StateRef,
  touchConnection,
} from "../store/connections.ts";
import { type Sql, untilThrough } from "../store/db.ts";
import { endSessions } from "../store/sessions.ts";
import { unknownPos } from "../wire/errors.ts";
import type { AccountNo, DeviceNo, Position, RoomId } from "../wire/ids.ts";
import type { Presence } from "../wire/presence.ts";
import { Arrivals } from "../sync/arrivals.ts";
import type { FetchDeps } from "../sync/fetches.ts";
import { longPoll } from "../sync/long-poll.ts";
import type { Signer } from "../sync/sealed-token.ts";
import { Waiter } from "../sync/waiter.ts";
import { handedUpToBy, meaningOf } from "../sync/wakes.ts";
import { announcePresence } from "./announced-presence.ts";
import { AccountViews } from "./account-view.ts";
import { type ConnectionState, fromStored, NOTHING_SENT, type NumberedState, storedForm } from "./connection-state.ts";
import { evaluateSliding, type SlidingAnswer, type SlidingCaches, type SlidingOutcome } from "./evaluate.ts";
import { InitialRoomsCache } from "./initial-rooms.ts";
import { asksOf, kindsOf } from "./interest.ts";
import { matcherOf } from "./required-state.ts";
import { digestOf, openPos, type RequestPos, type Pos, sealPos } from "./pos.ts";
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
  /** A connection that was idle for this long, ms, and has more than this many rooms to update, is ended, since starting from scratch is faster. */
  readonly expireIdleMs: number;
  readonly expireRooms: number;
};

export const SLIDING_DEFAULTS: SlidingOptions = {
  connectionsPerDevice: 50,
  firstContactMs: 20_000,
  fetchMs: 3000,
  touchMs: 300_000,
  expireIdleMs: 3_600_000,
  expireRooms: 100,
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

type OpenedPos = { readonly pos: RequestPos; readonly state: NumberedState };

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

/** Rooms in all cached states together. A record takes about 200 bytes. */
const MAX_RECORDS = 500_000;

/** A state's size in records. This many characters of its configs' JSON count as one. */
const CHARACTERS_A_RECORD = 50;

function recordsOf({ rooms, configs }: ConnectionState): number {
  const characters = configs.reduce((sum, config) => sum + matcherOf(config).key.length, 0);
  return rooms.size + Math.ceil(characters / CHARACTERS_A_RECORD) + 1;
}

export class SlidingEngine {
  readonly #deps: SlidingDeps;
  readonly #draining = new AbortController();
  readonly #arrivals: Arrivals;
  readonly #caches: SlidingCaches;
  readonly #heads: Gathered<HeadAsk, ConnectionHead | null>;
  readonly #writer: ConnectionWriter;
  /** States never change, so a cached one never becomes outdated. */
  readonly #states = new LRUCache<string, NumberedState>({ maxSize: MAX_RECORDS, sizeCalculation: ({ state }) => recordsOf(state) });

  constructor(deps: SlidingDeps) {
    this.#deps = deps;
    const { metrics } = deps;
    this.#caches = { views: new AccountViews(), initialRooms: new InitialRoomsCache(metrics && ((isKept) => metrics.wholeRoom(isKept))) };
    this.#arrivals = new Arrivals(deps.now);
    this.#heads = new Gathered((asks) => readConnectionHeads(deps.sql, asks), { lanes: 2 });
    deps.feed.observe((wake) => {
      if (wake.type === "news" && wake.batch) this.#caches.views.advance(wake.batch, deps.now());
    });
    this.#writer = new ConnectionWriter(deps.connectionSql, { ...deps.options, asyncCommits: deps.asyncCommits });
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
      const opened = pos ? { pos, state: await this.#stateOf(pos) } : beginning(account, device, name);
      feed.publish({ type: "connection", account, device, name, request: arrival });
      hush = announcePresence(feed, { account, device, name }, request, opened.state.state);
      return await this.#wait(request, opened, waiter, wakes);
    } finally {
      waiter.close();
      hush();
    }
  }

  async #stateOf(at: StateRef): Promise<NumberedState> {
    const known = this.#states.get(keyOf(at));
    if (known) return known;
    const stored = await findConnectionState(this.#deps.sql, at);
    if (!stored) throw unknownPos();
    const state = fromStored(at.state, stored);
    this.#states.set(keyOf(at), state);
    return state;
  }

  #wait(request: SlidingRequest, opened: OpenedPos, waiter: Waiter, wakes: Wakes): Promise<SlidingReply> {
    const { now, ownTokens = false, askBundles, options } = this.#deps;
    const { account, device, body, dialect } = request;
    const { pos, state } = opened;
    const isFirst = request.pos === null;
    const started = now();
    const answerAt = (outcome: SlidingOutcome): number =>
      isFirst ? started + patienceFor(outcome, options) : outcome.news ? 0 : started + request.timeout;
    let isNew = true;
    let head: ConnectionHead | null = null;
    const evaluate = async (tried: ReadonlySet<string>): Promise<SlidingOutcome> => {
      const known = head;
      head = null;
      return this.#evaluate({ account, device, pos, state: state.state, body, dialect, ownTokens, askBundles, tried }, known);
    };
    return longPoll({ ...this.#deps, fetchMs: options.fetchMs }, waiter, {
      account,
      device,
      tokenHash: request.tokenHash,
      session: pos.session,
      isFirst,
      evaluate: async (tried) => {
        if (!isNew) return evaluate(tried);
        isNew = false;
        head = await this.#accept(request, pos);
        const outcome = await evaluate(tried);
        await this.#expireOrTouch(pos, outcome, asksOf(body));
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
  async #accept(request: SlidingRequest, { session, state, mark }: RequestPos): Promise<ConnectionHead> {
    const { sql, options } = this.#deps;
    const { device } = request;
    const at = session === null ? null : { session, state, mark };
    const head = (at === null && request.head) || (await this.#heads.ask({ device, at }));
    if (!head) throw unknownPos();
    const { toDevice } = request.body.extensions;
    const { acknowledged } = head;
    if (toDevice && (!acknowledged || acknowledged.seq < toDevice.since || acknowledged.agoMs > options.touchMs)) {
      await acknowledgeSliding(sql, request, toDevice.since, options.touchMs);
    }
    return head;
  }

  /** MSC4186: a server may expire a connection where it "thinks it would be faster for the client to start from scratch". */
  async #expireOrTouch({ session, position }: RequestPos, outcome: SlidingOutcome, asks: Asks): Promise<void> {
    const { sql, options } = this.#deps;
    if (session === null) return;
    if (outcome.head.idleMs > options.expireIdleMs && outcome.updated > options.expireRooms) {
      await endConnection(sql, session);
      throw unknownPos();
    }
    await noteAsks(sql, session, outcome.head.asks, asks);
    if (outcome.head.idleMs > options.touchMs) await touchConnection(sql, session, position);
  }

  async #answer(request: SlidingRequest, { pos, state }: OpenedPos, outcome: SlidingOutcome): Promise<SlidingReply> {
    const { position, e2ee, upstream } = outcome;
    const sent = await this.#noted(request, { pos, state }, outcome);
    this.#deps.learnHeroes(request.account, unknownHeroes(outcome.answer));
    if (pos.session === null) this.#deps.checkBeginnings(request.account, joinedRooms(outcome.answer));
    return { pos: sealPos({ ...pos, ...sent, position, e2ee, upstream }, this.#deps.sign), answer: outcome.answer };
  }

  /** Stores the connection's state after an answer. */
  async #noted({ account, device, connId, body: asked }: SlidingRequest, { pos, state }: OpenedPos, outcome: SlidingOutcome): Promise<StateRef> {
    const { position } = outcome;
    if (pos.session === null) {
      const { base, body } = storedForm(state, outcome.state);
      const made = await this.#writer.begin({ account, device, connId, asks: asksOf(asked), body, position });
      // The device has logged out since the request was authenticated.
      if (!made) throw unknownPos();
      const { session, state: number, mark } = made;
      if (made.ended > 0) this.#deps.feed.publish(goneWake(account));
      const begun = { session, state: number, mark };
      this.#states.set(keyOf(begun), { number, state: outcome.state, base });
      return begun;
    }
    const from = { session: pos.session, state: pos.state, mark: pos.mark };
    if (outcome.state === state.state) return from;
    const { base, body } = storedForm(state, outcome.state);
    const saved = await this.#writer.save({ from, fromBase: state.base?.number ?? null, base: base?.number ?? null, body, position });
    if (!saved) throw unknownPos();
    this.#states.set(keyOf(saved), { number: saved.state, state: outcome.state, base });
    return saved;
  }
}

/** The position of a connection that does not exist yet. */
function beginning(account: AccountNo, device: DeviceNo, conn: string): OpenedPos {
  const pos: RequestPos = { account, device, conn, session: null, state: 0, mark: 0, position: 0 as Position, e2ee: 0, upstream: "" };
  return { pos, state: { number: 0, state: NOTHING_SENT, base: null } };
}

function keyOf({ session, state, mark }: StateRef): string {
  return `${session} ${state} ${mark}`;
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
