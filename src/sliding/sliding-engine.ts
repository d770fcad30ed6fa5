/**
 * Sliding sync (MSC4186), from a request to an answer that no dialect has written yet:
 *
 *   open      the position's state; without a position nothing was told yet
 *   accept    to-device messages are acknowledged, an older request of the connection is ended
 *   wait      evaluate until there is news, the time is over, or a newer request comes
 *   answer    what there is to tell, and a position for what was told: of the first answer, a new connection in place of the old one of
 *             that name
 */

import { LRUCache } from "lru-cache";
import type { Metrics } from "../base/metrics.ts";
import { Gathered } from "../base/gathered.ts";
import { type Feed, goneWake, type Wake } from "../feed/hub.ts";
import { ConnectionWriter } from "../store/connection-writer.ts";
import {
  acknowledgeSliding,
  type ConnectionHead,
  endConnection,
  findConnectionState,
  type HeadAsk,
  readConnectionHeads,
  type StateRef,
  touchConnection,
} from "../store/connections.ts";
import { type Sql, untilThrough } from "../store/db.ts";
import { endSessions, sessionExists } from "../store/sessions.ts";
import { unknownPos } from "../wire/errors.ts";
import type { AccountNo, DeviceNo, Position } from "../wire/ids.ts";
import { Arrivals } from "../sync/arrivals.ts";
import type { FetchDeps } from "../sync/fetches.ts";
import { longPoll } from "../sync/long-poll.ts";
import type { Signer } from "../sync/sealed-token.ts";
import { Waiter } from "../sync/waiter.ts";
import { meaningOf } from "../sync/wakes.ts";
import { AccountViews } from "./account-view.ts";
import { type ConnectionState, fromStored, NOTHING_TOLD, type NumberedState, storedForm } from "./connection-state.ts";
import { evaluateSliding, type SlidingAnswer, type SlidingCaches, type SlidingOutcome } from "./evaluate.ts";
import { InitialRoomsCache } from "./initial-rooms.ts";
import { kindsOf } from "./interest.ts";
import { matcherOf } from "./required-state.ts";
import { digestOf, openPos, type RequestPos, type Pos, sealPos } from "./pos.ts";
import type { SlidingQuestion } from "./question.ts";
import type { Dialect, SlidingBody } from "./request.ts";

export type SlidingOptions = {
  readonly connectionsPerDevice: number;
  /** How long an account's first request waits for the first v2 answer, ms: shorter than a client's own patience. */
  readonly firstContactMs: number;
  /** How long an answer waits for what must be fetched, ms. */
  readonly fetchMs: number;
  /** That a connection is in use is noted so often, ms. */
  readonly touchMs: number;
  /** A connection that was idle for so long, ms, and has more rooms to be told of than so many, is quicker begun anew. */
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
  /** What connections are written with. */
  readonly connectionSql: Sql;
  /** Their commits do not wait for the disk: what a crash of the database takes back of them, clients begin anew. */
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
  /** Where account and device stood, not long after the request came; null: not known. */
  readonly head: ConnectionHead | null;
  /** "" where the client names none. */
  readonly connId: string;
  readonly pos: string | null;
  /** ms; without a position there is nothing to wait for. */
  readonly timeout: number;
  readonly body: SlidingBody;
  readonly dialect: Dialect;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
};

export type SlidingReply = { readonly pos: string; readonly answer: SlidingAnswer };

/** `handed`: see handedWith, of all that woke a request since its last look: memory may be enough for the next one. */
type Wakes = { handed: number };

type OpenedPos = { readonly pos: RequestPos; readonly state: NumberedState };

const EMPTY_ANSWER: SlidingAnswer = {
  lists: new Map(),
  rooms: [],
  toDevice: null,
  e2ee: null,
  accountData: { global: [], rooms: new Map() },
  receipts: new Map(),
  typing: new Map(),
  now: 0,
};

/** Rooms in all remembered states together. A record takes about 200 bytes. */
const MAX_RECORDS = 500_000;

/** A state's size in records. Of its configs, so many characters as JSON count as one. */
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
  /** States never change, so what is remembered of one is right for as long as it is there. */
  readonly #states = new LRUCache<string, NumberedState>({ maxSize: MAX_RECORDS, sizeCalculation: ({ state }) => recordsOf(state) });

  constructor(deps: SlidingDeps) {
    this.#deps = deps;
    const { metrics } = deps;
    this.#caches = { views: new AccountViews(), initialRooms: new InitialRoomsCache(metrics && ((isKept) => metrics.wholeRoom(isKept))) };
    this.#arrivals = new Arrivals(deps.now);
    this.#heads = new Gathered((asks) => readConnectionHeads(deps.sql, asks), { lanes: 2 });
    deps.feed.observe((wake) => {
      if (wake.type === "news" && wake.batch) this.#caches.views.advance(wake.batch);
    });
    this.#writer = new ConnectionWriter(deps.connectionSql, { ...deps.options, asyncCommits: deps.asyncCommits });
  }

  /** Ends all waits: each is answered with what there is. For a clean shutdown. */
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
    // Listens from its arrival on: nothing is missed between the first look and the wait.
    const wakes: Wakes = { handed: 0 };
    const isOfSame = (wake: Wake): boolean => wake.type === "connection" && wake.device === device && wake.name === name;
    const listening = { device, arrival, isOfSame, kinds: kindsOf(request.body) };
    const heard = (wake: Wake) => {
      const meaning = meaningOf(wake, listening);
      if (meaning === "look") wakes.handed = Math.max(wakes.handed, handedWith(wake, device));
      return meaning;
    };
    const waiter = new Waiter(feed, account, heard, [request.signal, this.#draining.signal]);
    try {
      const opened = pos ? { pos, state: await this.#stateOf(pos) } : beginning(account, device, name);
      feed.publish({ type: "connection", account, device, name, request: arrival });
      return await this.#wait(request, opened, waiter, wakes);
    } finally {
      waiter.close();
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
    const { now, ownTokens = false, options } = this.#deps;
    const { account, device, body, dialect } = request;
    const { pos, state } = opened;
    const isFirst = request.pos === null;
    const started = now();
    const answerAt = (outcome: SlidingOutcome): number =>
      isFirst ? started + patienceFor(outcome, options) : outcome.news ? 0 : started + request.timeout;
    const superseded = (): SlidingReply => {
      // Nobody waits for this answer any more; where somebody reads it, it says that nothing happened.
      if (request.pos === null) throw unknownPos();
      return { pos: request.pos, answer: EMPTY_ANSWER };
    };
    let isNew = true;
    let head: ConnectionHead | null = null;
    const evaluate = async (tried: ReadonlySet<string>): Promise<SlidingOutcome> => {
      const known = head;
      head = null;
      return this.#evaluate({ account, device, pos, state: state.state, body, dialect, ownTokens, tried }, known);
    };
    return longPoll({ ...this.#deps, fetchMs: options.fetchMs }, waiter, {
      account,
      device,
      evaluate: async (tried) => {
        if (!isNew) return evaluate(tried);
        isNew = false;
        head = await this.#accept(request, pos);
        const outcome = await evaluate(tried);
        await this.#expireOrTouch(pos, outcome);
        // The head that came with a first request may be older than the waiter: before the request waits it is read anew.
        const mustWait = isFirst && outcome.needs.length === 0 && now() < answerAt(outcome);
        return mustWait ? evaluate(tried) : outcome;
      },
      answerAt,
      beforeNext: (outcome, end) => {
        head = end === "look" && wakes.handed > 0 ? this.#caches.views.ahead(account, outcome.head, wakes.handed) : null;
        wakes.handed = 0;
      },
      // A first request begins a connection, in place of that of a newer one: not after that one came.
      answer: async (outcome) => (isFirst && waiter.pending === "superseded" ? superseded() : this.#answer(request, opened, outcome)),
      superseded,
      assertToken: () => this.#assertToken(request),
      assertLives: () => this.#assertLives(request, pos),
    });
  }

  /** @throws MatrixError 400 M_UNKNOWN_POS where the connection is gone, or what it was told */
  async #evaluate(question: SlidingQuestion, head: ConnectionHead | null): Promise<SlidingOutcome> {
    const { sql, feed, now } = this.#deps;
    const outcome = await evaluateSliding(sql, this.#caches, question, now(), head);
    if (outcome === "ahead") {
      await untilThrough(() => endSessions(sql, question.account));
      feed.publish(goneWake(question.account));
    }
    if (outcome === "ahead" || outcome === "gone") throw unknownPos();
    return outcome;
  }

  /** @throws MatrixError 401 where the homeserver has refused the token (D2), M_UNKNOWN_POS where nothing is stored of it any more (T18) */
  async #assertToken({ tokenHash }: SlidingRequest): Promise<void> {
    if (!(await this.#deps.tokenLives(tokenHash))) throw unknownPos();
  }

  /** @throws MatrixError as #assertToken, and M_UNKNOWN_POS where the connection is gone */
  async #assertLives(request: SlidingRequest, { session }: RequestPos): Promise<void> {
    await this.#assertToken(request);
    if (session !== null && !(await sessionExists(this.#deps.sql, session))) throw unknownPos();
  }

  /** What the first look begins with. Acknowledges what the client has received. */
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
  async #expireOrTouch({ session, position }: RequestPos, outcome: SlidingOutcome): Promise<void> {
    const { sql, options } = this.#deps;
    if (session === null) return;
    if (outcome.head.idleMs > options.expireIdleMs && outcome.updated > options.expireRooms) {
      await endConnection(sql, session);
      throw unknownPos();
    }
    if (outcome.head.idleMs > options.touchMs) await touchConnection(sql, session, position);
  }

  async #answer(request: SlidingRequest, { pos, state }: OpenedPos, outcome: SlidingOutcome): Promise<SlidingReply> {
    const { position, e2ee, upstream } = outcome;
    const told = await this.#noted(request, { pos, state }, outcome);
    return { pos: sealPos({ ...pos, ...told, position, e2ee, upstream }, this.#deps.sign), answer: outcome.answer };
  }

  /** Where the connection stands after an answer. */
  async #noted({ account, device, connId }: SlidingRequest, { pos, state }: OpenedPos, outcome: SlidingOutcome): Promise<StateRef> {
    const { position } = outcome;
    if (pos.session === null) {
      const { base, body } = storedForm(state, outcome.state);
      const made = await this.#writer.begin({ account, device, connId, body, position });
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

/** The position up to which all that a wake-up means to a device was handed over with it; Infinity: it was not. */
function handedWith(wake: Wake, device: DeviceNo): number {
  if (wake.type !== "news" || !wake.batch || !wake.kinds) return Infinity;
  const isOfDevice = wake.device === device && (wake.kinds.has("to_device") || wake.kinds.has("key_counts"));
  return isOfDevice || wake.kinds.has("device_lists") ? Infinity : wake.batch.writes.position;
}

/** Where a connection stands that is still to be made. */
function beginning(account: AccountNo, device: DeviceNo, conn: string): OpenedPos {
  const pos: RequestPos = { account, device, conn, session: null, state: 0, mark: 0, position: 0 as Position, e2ee: 0, upstream: "" };
  return { pos, state: { number: 0, state: NOTHING_TOLD, base: null } };
}

function keyOf({ session, state, mark }: StateRef): string {
  return `${session} ${state} ${mark}`;
}

/** Whether a position is one of the very connection that is asked: nobody else's is touched by it. */
function isOf(pos: Pos | null, { account, device, connId }: SlidingRequest): boolean {
  return pos?.account === account && pos.device === device && pos.conn === digestOf(connId);
}

/** How long a connection's first answer waits for more, ms. */
function patienceFor({ head, answer, complete }: SlidingOutcome, options: SlidingOptions): number {
  // Rooms that were told early are worth an answer without the others.
  if (head.joinedRooms !== null && answer.rooms.length > 0) return 0;
  if (!complete) return options.firstContactMs;
  // Of a device that was never polled nobody knows the key counts yet, and without them clients make no keys.
  return answer.e2ee?.oneTimeKeys === null ? options.fetchMs : 0;
}
