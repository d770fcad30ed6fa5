/**
 * The part of the homeserver's client-server API that we use ourselves. Answers are texts: what is stored is cut from them byte for byte.
 * Every method rejects with UpstreamError, or with the reason of its signal.
 */

import { Pool } from "undici";
import { reasonOf, withDeadline } from "../base/abort.ts";
import type { Metrics } from "../base/metrics.ts";
import { Slots } from "../base/slots.ts";
import { traced } from "../base/tracing.ts";
import { isIdentifier } from "../wire/identifier.ts";
import type { EventId, RoomId, UserId } from "../wire/ids.ts";
import type { Presence } from "../wire/presence.ts";
import { SIMPLIFIED_SYNC } from "../wire/versions.ts";
import { type Expected, firstValue, readBody } from "./read-body.ts";
import { errorOfStatus, isNotThere, UpstreamError } from "./upstream-error.ts";
import { STATE_AFTER } from "./v2-filter.ts";

/** All in milliseconds, for the complete request, its body included. */
export type ClientTimeouts = {
  readonly connect: number;
  /** Any request but /sync. */
  readonly request: number;
  /** A /sync without `since`: large accounts take minutes. */
  readonly firstSync: number;
  /** Added to the `timeout` of a /sync with `since`. */
  readonly syncGrace: number;
};

export type ClientOptions = {
  /** Base URL of the homeserver, with or without a slash at the end. */
  readonly baseUrl: string;
  readonly timeouts?: Partial<ClientTimeouts>;
  /** Limit for one body, unpacked, in bytes. Default 256 MiB. */
  readonly maxResponseBytes?: number | undefined;
  readonly userAgent?: string;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  /**
   * Most first syncs at the same time, because each is the homeserver's most expensive answer; and most other requests, without polls.
   * Default 16 and 128.
   */
  readonly firstSyncs?: number;
  readonly others?: number;
  /** Most answers above 32 MiB that are in memory at the same time. Default 2. */
  readonly large?: number;
  /** Receives the outcome of each request. */
  readonly metrics?: Pick<Metrics, "upstream">;
};

/** A body and when it was complete (ms since 1970). */
export type HomeserverAnswer = { readonly text: string; readonly receivedAt: number };

/** The owner of a token. `deviceId` null: the homeserver named none. */
export type Whoami = { readonly userId: UserId; readonly deviceId: string | null };

/**
 * `since` null: from the beginning. `timeout` in milliseconds. `filter`: JSON text (see v2-filter.ts). `presence`: what it shows the user as; default
 * offline, which changes nothing.
 */
export type SyncQuery = { readonly since: string | null; readonly timeout: number; readonly filter: string; readonly presence?: Presence };

const TIMEOUTS: ClientTimeouts = { connect: 10_000, request: 60_000, firstSync: 600_000, syncGrace: 60_000 };

type Received = NonNullable<Expected["received"]>;

/** `limitMs`: a deadline for the complete request, its body included. */
type HomeserverRequest = {
  readonly token: string | null;
  readonly path: string;
  readonly query: QueryParams;
  /** JSON: it is a POST then. */
  readonly body?: string;
  readonly limitMs: number;
  readonly expected: Expected;
};

type QueryParams = Readonly<Record<string, string | number | null | undefined>>;

export class HomeserverClient {
  readonly #baseUrl: string;
  readonly #timeouts: ClientTimeouts;
  /** What is expected of nearly all answers. */
  readonly #object: Expected;
  readonly #userAgent: string;
  readonly #now: () => number;
  readonly #connections: Pool;
  readonly #metrics: ClientOptions["metrics"];
  readonly #firstSyncs: Slots;
  readonly #others: Slots;
  readonly #large: Slots;

  constructor(options: ClientOptions) {
    this.#baseUrl = options.baseUrl.replace(/\/+$/, "");
    this.#timeouts = { ...TIMEOUTS, ...options.timeouts };
    this.#object = { maxBytes: options.maxResponseBytes ?? 256 * 1024 * 1024, isList: false };
    this.#userAgent = options.userAgent ?? "syncv3";
    this.#now = options.now ?? Date.now;
    this.#metrics = options.metrics;
    this.#firstSyncs = new Slots(options.firstSyncs ?? 16);
    this.#others = new Slots(options.others ?? 128);
    this.#large = new Slots(options.large ?? 2);
    // Each waiting poll has a connection of its own, so undici's default of unlimited connections is right. Its time-outs are off, because we have
    // our own. No Agent: whenever a connection ends, that looks at all the others, which are thousands.
    this.#connections = new Pool(new URL(this.#baseUrl).origin, {
      connect: { timeout: this.#timeouts.connect },
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: 4000,
    });
  }

  /** `GET /account/whoami`. */
  async whoami(token: string, signal: AbortSignal): Promise<Whoami> {
    const path = "/_matrix/client/v3/account/whoami";
    const { text } = await this.get(token, path, {}, signal);
    const body = JSON.parse(text) as Record<string, unknown>;
    const userId = body["user_id"];
    if (!isIdentifier(userId) || !userId.startsWith("@"))
      throw new UpstreamError("bad_answer", `the homeserver's answer to ${path} has no user_id`, { status: 200 });
    const deviceId = body["device_id"];
    return { userId: userId as UserId, deviceId: typeof deviceId === "string" && deviceId !== "" ? deviceId : null };
  }

  /** `GET /sync` (v2). Rejects with bad_since if the homeserver does not know the `since`. */
  sync(token: string, { presence = "offline", ...query }: SyncQuery, signal: AbortSignal, received?: Received): Promise<HomeserverAnswer> {
    const limitMs = query.since === null ? this.#timeouts.firstSync : query.timeout + this.#timeouts.syncGrace;
    const request: HomeserverRequest = {
      token,
      path: "/_matrix/client/v3/sync",
      query: { ...query, set_presence: presence, ...(query.since !== null && STATE_AFTER) },
      limitMs,
      expected: received ? { ...this.#object, received } : this.#object,
    };
    const ask = (): Promise<HomeserverAnswer> => this.#get(request, signal);
    return query.since === null ? this.#firstSyncs.run(signal, ask) : ask();
  }

  /** The homeserver's own sliding sync. `pos` null: from the beginning. Rejects with bad_since if the homeserver does not know the `pos`. */
  slidingSync(
    token: string,
    query: { readonly pos: string | null; readonly timeout: number },
    body: object,
    signal: AbortSignal,
  ): Promise<HomeserverAnswer> {
    const path = `/_matrix/client/unstable/${SIMPLIFIED_SYNC}/sync`;
    const limitMs = query.timeout + this.#timeouts.syncGrace;
    return this.#get({ token, path, query, body: JSON.stringify(body), limitMs, expected: this.#object }, signal);
  }

  /** `GET /rooms/{roomId}/members`; `at`: a v2 token (null: now). */
  members(token: string, roomId: RoomId, at: string | null, signal: AbortSignal): Promise<HomeserverAnswer> {
    return this.get(token, `${roomPath(roomId)}/members`, { at }, signal);
  }

  /** `GET /rooms/{roomId}/joined_members`. */
  joinedMembers(token: string, roomId: RoomId, signal: AbortSignal): Promise<HomeserverAnswer> {
    return this.get(token, `${roomPath(roomId)}/joined_members`, {}, signal);
  }

  /** `GET /joined_rooms`. */
  async joinedRooms(token: string, signal: AbortSignal): Promise<RoomId[]> {
    const path = "/_matrix/client/v3/joined_rooms";
    const body = JSON.parse((await this.get(token, path, {}, signal)).text) as Record<string, unknown>;
    const rooms = body["joined_rooms"];
    if (!Array.isArray(rooms)) throw new UpstreamError("bad_answer", `the homeserver's answer to ${path} has no joined_rooms`, { status: 200 });
    return rooms.filter((room): room is RoomId => typeof room === "string" && room.startsWith("!"));
  }

  /** `GET /user/{userId}/account_data/{type}`: the content's text; null: there is none. */
  accountData(token: string, userId: UserId, type: string, signal: AbortSignal): Promise<string | null> {
    return this.#contentAt(token, `/_matrix/client/v3/user/${encodeURIComponent(userId)}/account_data/${encodeURIComponent(type)}`, signal);
  }

  /** `GET /user/{userId}/rooms/{roomId}/account_data/{type}`: the content's text; null: there is none. */
  roomAccountData(token: string, userId: UserId, roomId: RoomId, type: string, signal: AbortSignal): Promise<string | null> {
    const path = `/_matrix/client/v3/user/${encodeURIComponent(userId)}/rooms/${encodeURIComponent(roomId)}/account_data/`;
    return this.#contentAt(token, path + encodeURIComponent(type), signal);
  }

  async #contentAt(token: string, path: string, signal: AbortSignal): Promise<string | null> {
    try {
      return (await this.get(token, path, {}, signal)).text;
    } catch (error) {
      if (error instanceof UpstreamError && error.status === 404) return null;
      throw error;
    }
  }

  /** `GET /rooms/{roomId}/state`: the full present state, a list. Rejects if it has more than `maxBytes`. */
  state(token: string, roomId: RoomId, signal: AbortSignal, maxBytes: number): Promise<HomeserverAnswer> {
    const request: HomeserverRequest = {
      token,
      path: `${roomPath(roomId)}/state`,
      query: {},
      limitMs: this.#timeouts.request,
      expected: { maxBytes, isList: true },
    };
    return this.#others.run(signal, () => this.#get(request, signal));
  }

  /**
   * `GET /rooms/{roomId}/state/m.room.member/{userId}`: the event's text, or only its content if the homeserver does not know
   * `format=event`; null: there is none, or the user may not see it.
   */
  async member(token: string, roomId: RoomId, userId: UserId, signal: AbortSignal): Promise<string | null> {
    const path = `${roomPath(roomId)}/state/m.room.member/${encodeURIComponent(userId)}`;
    try {
      return (await this.get(token, path, { format: "event" }, signal)).text;
    } catch (error) {
      if (isNotThere(error)) return null;
      throw error;
    }
  }

  /** `GET /rooms/{roomId}/messages`. `from` null: from the newest (dir b). `filter`: JSON text. */
  messages(
    token: string,
    roomId: RoomId,
    query: { readonly from: string | null; readonly dir: "b" | "f"; readonly limit: number; readonly filter?: string },
    signal: AbortSignal,
  ): Promise<HomeserverAnswer> {
    return this.get(token, `${roomPath(roomId)}/messages`, query, signal);
  }

  /** `GET /rooms/{roomId}/context/{eventId}`. `limit`: events around it. `filter`: JSON text. */
  context(
    token: string,
    roomId: RoomId,
    eventId: EventId,
    query: { readonly limit: number; readonly filter?: string },
    signal: AbortSignal,
  ): Promise<HomeserverAnswer> {
    return this.get(token, `${roomPath(roomId)}/context/${encodeURIComponent(eventId)}`, query, signal);
  }

  /** `GET /rooms/{roomId}/event/{eventId}`. */
  event(token: string, roomId: RoomId, eventId: EventId, signal: AbortSignal): Promise<HomeserverAnswer> {
    return this.get(token, `${roomPath(roomId)}/event/${encodeURIComponent(eventId)}`, {}, signal);
  }

  /** Any other GET whose answer is JSON. Parameters that are null or undefined are left out. `token` null: unauthenticated. */
  async get(token: string | null, path: string, query: QueryParams, signal: AbortSignal): Promise<HomeserverAnswer> {
    const request: HomeserverRequest = { token, path, query, limitMs: this.#timeouts.request, expected: this.#object };
    const answer = await this.#others.run(signal, () => this.#get(request, signal));
    try {
      JSON.parse(answer.text);
    } catch (cause) {
      throw new UpstreamError("bad_answer", `the homeserver's answer to ${path} is not JSON`, { status: 200, cause });
    }
    return answer;
  }

  /** Closes idle connections and breaks the others. */
  async close(): Promise<void> {
    await this.#connections.destroy();
  }

  #get(request: HomeserverRequest, parent: AbortSignal): Promise<HomeserverAnswer> {
    const { path, limitMs } = request;
    const late = () => new UpstreamError("timed_out", `the homeserver did not answer ${path} within ${limitMs} ms`);
    const startedAt = performance.now();
    let result: string = "ok";
    const answer = traced(`homeserver ${endpointOf(path)}`, () =>
      withDeadline(parent, limitMs, late, async (signal) => {
        try {
          return await this.#request(request, signal);
        } catch (cause) {
          if (signal.aborted) throw reasonOf(signal);
          if (cause instanceof UpstreamError) throw cause;
          throw new UpstreamError("unreachable", `the homeserver cannot be reached for ${path}: ${causeText(cause)}`, { cause });
        }
      }),
    );
    if (!this.#metrics) return answer;
    return answer
      .catch((error: unknown) => {
        result = error instanceof UpstreamError ? error.kind : "aborted";
        throw error;
      })
      .finally(() => this.#metrics?.upstream(endpointOf(path), result, performance.now() - startedAt));
  }

  async #request({ token, path, query, body, expected }: HomeserverRequest, signal: AbortSignal): Promise<HomeserverAnswer> {
    const url = new URL(this.#baseUrl + path);
    for (const [name, value] of Object.entries(query)) if (value !== null && value !== undefined) url.searchParams.set(name, String(value));
    const response = await this.#connections.request({
      origin: url.origin,
      path: url.pathname + url.search,
      method: body === undefined ? "GET" : "POST",
      ...(body !== undefined && { body }),
      signal,
      headers: {
        accept: "application/json",
        "accept-encoding": "gzip",
        "user-agent": this.#userAgent,
        ...(body !== undefined && { "content-type": "application/json" }),
        ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      },
    });
    const text = await readBody(response, path, expected, this.#large, signal);
    const receivedAt = this.#now();
    if (response.statusCode !== 200)
      throw errorOfStatus(response.statusCode, text, firstValue(response.headers["retry-after"]), receivedAt, {
        path,
        since: typeof (query["since"] ?? query["pos"]) === "string",
      });
    const [form, name] = expected.isList ? [/^\s*\[/, "list"] : [/^\s*\{/, "object"];
    if (!form.test(text)) throw new UpstreamError("bad_answer", `the homeserver's answer to ${path} is not a JSON ${name}`, { status: 200 });
    return { text, receivedAt };
  }
}

const ENDPOINTS: ReadonlySet<string> = new Set(["sync", "whoami", "members", "joined_members", "joined_rooms", "state", "messages", "versions"]);

/** The last part of a path, which contains no id. Unstable endpoints (the homeserver has a sliding sync of its own) are others. */
function endpointOf(path: string): string {
  const last = path.includes("/unstable/") ? "" : path.slice(path.lastIndexOf("/") + 1);
  return ENDPOINTS.has(last) ? last : "other";
}

function roomPath(roomId: RoomId): string {
  return `/_matrix/client/v3/rooms/${encodeURIComponent(roomId)}`;
}

function causeText(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const code = (cause as { code?: unknown }).code;
  return typeof code === "string" && !cause.message.includes(code) ? `${cause.message} (${code})` : cause.message;
}
