/**
 * Sliding sync (MSC4186), from a request to an answer that no dialect has written yet:
 *
 *   open      the position's connection and state; without a position a new connection in place of the old one of that name
 *   accept    to-device messages are acknowledged, an older request of the connection is ended
 *   wait      evaluate until there is news, the time is over, or a newer request comes
 *   answer    what there is to tell, and a position for what was told
 */

import { LRUCache } from "lru-cache";
import type { Feed, Wake } from "../../feed/hub.ts";
import {
  acknowledgeSliding,
  createConnection,
  endConnection,
  findConnectionState,
  saveConnectionState,
  touchConnection,
} from "../../store/connections.ts";
import { type Sql, untilThrough } from "../../store/db.ts";
import { endSessions } from "../../store/sessions.ts";
import { needKey } from "../../streams/stream.ts";
import { unknownPos } from "../../wire/errors.ts";
import type { AccountNo, DeviceNo, Position, SessionNo } from "../../wire/ids.ts";
import { Arrivals, LAST_ARRIVAL } from "../arrivals.ts";
import { awaitFetches, type FetchDeps } from "../fetches.ts";
import type { Signer } from "../token.ts";
import { Waiter } from "../waiter.ts";
import { AccountRoomsCache } from "./account-rooms.ts";
import { fromStored, NOTHING_TOLD, type NumberedState, storedForm } from "./connection-state.ts";
import { evaluateSliding, type SlidingAnswer, type SlidingCaches, type SlidingOutcome } from "./evaluate.ts";
import { InitialRoomsCache } from "./initial-rooms.ts";
import { concerns } from "./interest.ts";
import { digestOf, openPos, type Pos, sealPos } from "./pos.ts";
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
  readonly feed: Feed;
  readonly sign: Signer;
  /** Resolves when what the device is sending now is sent, or it takes too long: its transaction ids are known then. */
  readonly sendsSettled: (device: DeviceNo) => Promise<void>;
  readonly options: SlidingOptions;
};

export type SlidingRequest = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly tokenHash: Buffer;
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

type Opened = { readonly pos: Pos; readonly state: NumberedState };

const EMPTY_ANSWER: SlidingAnswer = {
  lists: new Map(),
  rooms: [],
  toDevice: null,
  e2ee: null,
  accountData: { global: [], rooms: new Map() },
  receipts: new Map(),
  typing: new Map(),
};

/** Rooms in all remembered states together. A record takes about 200 bytes. */
const MAX_RECORDS = 500_000;

export class SlidingEngine {
  readonly #deps: SlidingDeps;
  readonly #draining = new AbortController();
  readonly #arrivals: Arrivals;
  readonly #caches: SlidingCaches = { accountRooms: new AccountRoomsCache(), initialRooms: new InitialRoomsCache() };
  /** States never change, so what is remembered of one is right for as long as it is there. */
  readonly #states = new LRUCache<string, NumberedState>({ maxSize: MAX_RECORDS, sizeCalculation: ({ state }) => state.rooms.size + 1 });

  constructor(deps: SlidingDeps) {
    this.#deps = deps;
    this.#arrivals = new Arrivals(deps.now);
  }

  /** Ends all waits: each is answered with what there is. For a clean shutdown. */
  drain(): void {
    this.#draining.abort();
  }

  /** @throws MatrixError 400 M_UNKNOWN_POS for a position that cannot be used (any more); 401 (D2). */
  async sync(request: SlidingRequest): Promise<SlidingReply> {
    const { sql, feed, sign, options } = this.#deps;
    const arrival = this.#arrivals.next();
    const pos = request.pos === null ? null : openPos(request.pos, sign);
    if (request.pos !== null && !isOf(pos, request)) throw unknownPos();
    // Listens from its arrival on: nothing is missed between the first look and the wait.
    let session = pos?.session;
    const waiter = new Waiter(feed, request.account, (wake) => meaningOf(wake, request, session, arrival), [request.signal, this.#draining.signal]);
    try {
      const opened = await this.#open(request, pos);
      ({ session } = opened.pos);
      feed.publish({ type: "session", account: request.account, session: opened.pos.session, request: arrival });
      const { toDevice } = request.body.extensions;
      if (toDevice) await acknowledgeSliding(sql, request, toDevice.since, options.touchMs);
      return await this.#wait(request, opened, waiter);
    } finally {
      waiter.close();
    }
  }

  async #open(request: SlidingRequest, pos: Pos | null): Promise<Opened> {
    const { sql, feed, options } = this.#deps;
    if (pos) return { pos, state: await this.#stateOf(pos.session, pos.state) };
    const { account, device, connId } = request;
    const { session, replaced } = await createConnection(sql, { account, device, connId }, options.connectionsPerDevice);
    for (const old of replaced) feed.publish({ type: "session", account, session: old, request: LAST_ARRIVAL });
    const first: Pos = { account, device, conn: digestOf(connId), session, state: 0, position: 0 as Position, e2ee: 0, upstream: "" };
    return { pos: first, state: await this.#stateOf(session, 0) };
  }

  async #stateOf(session: SessionNo, number: number): Promise<NumberedState> {
    if (number === 0) return { number: 0, state: NOTHING_TOLD, base: null };
    const key = `${session} ${number}`;
    const known = this.#states.get(key);
    if (known) return known;
    const stored = await findConnectionState(this.#deps.sql, session, number);
    if (!stored) throw unknownPos();
    const state = fromStored(number, stored);
    this.#states.set(key, state);
    return state;
  }

  async #wait(request: SlidingRequest, opened: Opened, waiter: Waiter): Promise<SlidingReply> {
    const { sql, now, assertTokenLives, options } = this.#deps;
    const { account, device, body, dialect } = request;
    const { pos, state } = opened;
    const started = now();
    const isFirst = request.pos === null;
    const deadline = isFirst ? started : started + request.timeout;
    const tried = new Set<string>();
    const late = new Set<string>();
    const superseded = (): SlidingReply => {
      // Nobody waits for this answer any more; where somebody reads it, it says that nothing happened.
      if (request.pos === null) throw unknownPos();
      return { pos: request.pos, answer: EMPTY_ANSWER };
    };
    for (let looks = 0; ; looks += 1) {
      await this.#deps.sendsSettled(device);
      const question = { account, device, pos, state: state.state, body, dialect, tried };
      const outcome = await evaluateSliding(sql, this.#caches, question, now());
      if (outcome === "ahead") await untilThrough(() => endSessions(sql, account));
      if (outcome === "ahead" || outcome === "gone") throw unknownPos();
      if (looks === 0) await this.#expireOrTouch(pos, outcome);
      if (outcome.needs.length > 0) {
        for (const need of outcome.needs) tried.add(needKey(need));
        const end = await awaitFetches(this.#deps, request, outcome.needs, late, now() + options.fetchMs, waiter);
        if (end === "superseded") return superseded();
        continue;
      }
      // Of a device that was never polled nobody knows the key counts yet, and without them clients make no keys.
      const lacksCounts = outcome.answer.e2ee?.oneTimeKeys === null;
      const patience = !outcome.complete ? options.firstContactMs : lacksCounts ? options.fetchMs : 0;
      const until = isFirst ? started + patience : deadline;
      if (outcome.news && (!isFirst || patience === 0)) return await this.#answer(opened, outcome);
      if (now() >= until || waiter.stopped.aborted) return await this.#answer(opened, outcome);
      // The token may have died before we listened.
      if (looks === 0) await assertTokenLives(request.tokenHash);
      const wake = await waiter.next(until - now());
      if (wake === "superseded") return superseded();
      if (wake === "gone") await assertTokenLives(request.tokenHash);
    }
  }

  /** MSC4186: a server may expire a connection where it "thinks it would be faster for the client to start from scratch". */
  async #expireOrTouch(pos: Pos, outcome: SlidingOutcome): Promise<void> {
    const { sql, options } = this.#deps;
    if (outcome.idleMs > options.expireIdleMs && outcome.updated > options.expireRooms) {
      await endConnection(sql, pos.session);
      throw unknownPos();
    }
    if (outcome.idleMs > options.touchMs) await touchConnection(sql, pos.session, pos.position);
  }

  async #answer({ pos, state }: Opened, outcome: SlidingOutcome): Promise<SlidingReply> {
    const { sql, sign } = this.#deps;
    const { position, e2ee, upstream } = outcome;
    let { number } = state;
    if (outcome.state !== state.state) {
      const { base, body } = storedForm(state, outcome.state);
      const saved = await saveConnectionState(sql, pos.session, {
        from: state.number,
        fromBase: state.base?.number ?? null,
        base: base?.number ?? null,
        body,
        position,
      });
      if (saved === null) throw unknownPos();
      number = saved;
      this.#states.set(`${pos.session} ${saved}`, { number, state: outcome.state, base });
    }
    return { pos: sealPos({ ...pos, state: number, position, e2ee, upstream }, sign), answer: outcome.answer };
  }
}

/** Whether a position is one of the very connection that is asked: nobody else's is touched by it. */
function isOf(pos: Pos | null, { account, device, connId }: SlidingRequest): boolean {
  return pos?.account === account && pos.device === device && pos.conn === digestOf(connId);
}

/** `session`: undefined while the request's connection is being made, which nobody else knows yet. */
function meaningOf(wake: Wake, request: SlidingRequest, session: SessionNo | undefined, arrival: string) {
  if (wake.type === "session") return wake.session === session && wake.request > arrival ? "superseded" : null;
  if (wake.kinds?.has("gone")) return "gone";
  return concerns(wake, request) ? "look" : null;
}
