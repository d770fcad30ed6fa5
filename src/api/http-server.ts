/** The HTTP server: our own routes, and the rest of the homeserver's API passed through. */

import { randomUUID } from "node:crypto";
import type { RequestListener, Server } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import fastify, { LogController, type FastifyBaseLogger, type FastifyInstance, type FastifyReply, type FastifyRequest } from "fastify";
import { databaseAnswer } from "../base/database-answers.ts";
import type { Logger } from "../base/logger.ts";
import type { Metrics } from "../base/metrics.ts";
import { throughOutage } from "../base/outage.ts";
import { traced, traceRequest } from "../base/tracing.ts";
import type { Auth, RouteContext, RoutePlugin } from "../http/route.ts";
import type { Feed } from "../feed/hub.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import { forbidden, internalError, MatrixError, unavailable } from "../wire/errors.ts";
import { Authenticator, type Proven, requiredToken } from "./auth.ts";
import { clientAddress } from "./client-address.ts";
import { HistoryPages } from "./history.ts";
import { readJsonBody } from "./json-body.ts";
import type { KeyUploads } from "./key-uploads.ts";
import { InProgress } from "./limits.ts";
import { NativeSync } from "./native-sync.ts";
import { Forwarder } from "./pass-through.ts";
import { Passer, type PasserDeps } from "./pass-through-rules.ts";
import { givenToken, PolledDevices } from "./polled-devices.ts";
import type { FindDevice, Forgetting, HistoryStore, PassQueue, RoomStore, TokenStore, UpstreamToken, VersionsClient, WhoamiClient } from "./ports.ts";
import type { Sends } from "./sends.ts";
import { faceOf, V3_SYNC } from "./sync-path.ts";
import { type IsTrusted, trustedProxies } from "./trusted-proxies.ts";
import { V2Sync } from "./v2-sync.ts";
import { WaitingTokens } from "./waiting-tokens.ts";

export type ServerDeps = Pick<PasserDeps, "threadPages"> & {
  /** Base URL of the homeserver, which gets everything that is not ours. */
  readonly baseUrl: string;
  readonly client: WhoamiClient & VersionsClient;
  readonly secretBox: { hashToken(token: string): Buffer };
  readonly tokens: TokenStore;
  readonly queue: PassQueue;
  readonly forgetting: Forgetting;
  readonly findDevice: FindDevice;
  readonly sends: Sends;
  readonly keyUploads: KeyUploads;
  /** Default: no pagination tokens of ours are in use. */
  readonly history?: HistoryStore;
  /** Default: endpoints that the homeserver lacks are not answered. */
  readonly rooms?: RoomStore;
  readonly feed: Feed;
  /** A client of the device has just proven itself, so the device must be polled from now on. Called for each request of ours. */
  readonly ensurePolling: (account: AccountNo, device: DeviceNo) => void;
  /** See PasserDeps. Default: it is ignored. */
  readonly roomRefused?: (account: AccountNo) => void;
  /** Resolves when requests can be served: the schema is migrated, and the database reachable. */
  readonly ready: () => Promise<string | null>;
  readonly logger: Logger;
  /** Milliseconds; only differences count. */
  readonly now: () => number;
  /** Addresses and networks whose X-Forwarded-… headers are trusted. */
  readonly trustedProxies?: readonly string[];
  /** Speak TLS with this certificate and key (PEM); see renewCertificate. Default: plain HTTP. */
  readonly certificate?: { readonly cert: Buffer; readonly key: Buffer };
  /** Only `/health` is answered: this process serves no clients. */
  readonly healthOnly?: boolean;
  /** Of the faces. */
  readonly routes?: readonly RoutePlugin[];
  readonly limits?: Partial<ServerLimits>;
  /** The flags that `/versions` adds to `unstable_features`. Default: none, and the homeserver's answer is unchanged. */
  readonly versionFeatures?: readonly string[];
  /** The address at which clients reach us, without a trailing slash, for clients to be told. Default: they are not told. */
  readonly publicUrl?: string | undefined;
  /** `/_synapse/admin` is passed too. Default: false. */
  readonly passAdmin?: boolean;
  /** If the homeserver has simplified sliding sync itself, requests for it are passed there. Default: ours is served. */
  readonly preferNative?: boolean;
  /** Default: nothing is measured. */
  readonly metrics?: Pick<Metrics, "request">;
  /** Resolves positions of ours in passed requests. Default: there are none. */
  readonly upstreamToken?: UpstreamToken;
};

/**
 * The most requests in progress (D21): per device, per client address, and in total. `stallMs`: a client that stops reading an answer that we hold
 * for it is disconnected after this time (N12).
 */
export type ServerLimits = { readonly perDevice: number; readonly perAddress: number; readonly total: number; readonly stallMs: number };

const LIMITS: ServerLimits = { perDevice: 64, perAddress: 2000, total: 20_000, stallMs: 60_000 };

/** From the client-server spec, "Web browser clients". */
const CORS_HEADERS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, HEAD, POST, PUT, DELETE, PATCH, OPTIONS",
  "access-control-allow-headers": "X-Requested-With, Content-Type, Authorization, Date",
} as const;

/** How long a stopping server waits for answers to be sent. */
const STOP_MS = 8_000;

/** v2 filters may be in the query. */
const SERVER_OPTIONS = { maxHeaderSize: 65_536 };

/** Fastify accepts an https server here although its type says http. */
function tlsServer(certificate: NonNullable<ServerDeps["certificate"]>): (handler: RequestListener) => Server {
  return (handler) => createTlsServer({ ...SERVER_OPTIONS, ...certificate }, handler);
}

/** New connections use this certificate. */
export function renewCertificate(app: FastifyInstance, certificate: NonNullable<ServerDeps["certificate"]>): void {
  (app.server as unknown as TlsServer).setSecureContext(certificate);
}

/** A server that is not listening yet. `close` answers requests that wait for the homeserver, finishes answers being sent, and ends. */
export function createApiServer(deps: ServerDeps): FastifyInstance {
  const limits = { ...LIMITS, ...deps.limits };
  const stopping = new AbortController();
  const auth = new Authenticator({ ...deps, signal: stopping.signal });
  const isTrusted = trustedProxies(deps.trustedProxies ?? []);
  const forwarder = new Forwarder({ baseUrl: deps.baseUrl, isTrusted });
  const polled = new PolledDevices(auth, deps.queue);
  const v2Sync = new V2Sync({
    auth,
    forwarder,
    polled,
    queue: deps.queue,
    feed: deps.feed,
    stallMs: limits.stallMs,
    count: (request, device) => count(request, device),
  });

  const logger: FastifyBaseLogger = deps.logger;
  const app: FastifyInstance = fastify({
    loggerInstance: logger,
    // Its own request log has query strings, which may contain access tokens.
    logController: new LogController({ disableRequestLogging: true }),
    return503OnClosing: false, // answered by requestScopes, as a Matrix error
    genReqId: () => randomUUID(),
    exposeHeadRoutes: false,
    forceCloseConnections: "idle",
    ...(deps.certificate ? { serverFactory: tlsServer(deps.certificate) } : { http: SERVER_OPTIONS }),
    frameworkErrors: (error, request, reply) => void answerError(error, request, reply),
  });
  const scopes = requestScopes(app, limits, isTrusted, stopping.signal, deps.metrics);
  const native = new NativeSync({ ...deps, signal: stopping.signal });
  const passInstead = async (request: FastifyRequest, reply: FastifyReply): Promise<boolean> => {
    if (!deps.preferNative || !(await native.isThere(givenToken(request, queryOf(request))))) return false;
    // A device that is polled already is not passed: two readers would take its to-device messages from each other.
    if (await polled.find(request)) return false;
    await forwarder.forward(request, reply, { signal: context.signalOf(request) });
    return true;
  };
  const scopeOf = (request: FastifyRequest): RequestScope => {
    const scope = scopes.get(request);
    if (!scope) throw new Error("A request without a scope");
    return scope;
  };
  const perDevice = new InProgress<DeviceNo>(limits.perDevice);
  const count = (request: FastifyRequest, device: DeviceNo) => scopeOf(request).onDone(perDevice.enter(device));
  const waiting = new WaitingTokens({ auth, now: deps.now, signal: stopping.signal });
  const enter = (request: FastifyRequest, who: Proven) => {
    count(request, who.device);
    scopeOf(request).onDone(waiting.enter(who, scopeOf(request).end));
  };
  const context = routeContext(deps, auth, { enter, scopeOf, passInstead }, stopping.signal);
  const passer = new Passer({
    ...deps,
    auth,
    forwarder,
    v2Sync,
    polled,
    versions: { features: deps.versionFeatures ?? [], preferNative: deps.preferNative ?? false },
    publicUrl: deps.publicUrl ?? null,
    passAdmin: deps.passAdmin ?? false,
    upstreamToken: deps.upstreamToken ?? null,
    roomRefused: deps.roomRefused ?? (() => {}),
    history: deps.history ? new HistoryPages({ store: deps.history, forwarder }) : null,
    ownPath: V3_SYNC,
    count,
  });

  // Routes read their bodies themselves, or stream them, whatever the Content-Type says (D5).
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _payload, done) => done(null));
  app.setErrorHandler((error, request, reply) => answerError(error, request, reply));
  app.addHook("onResponse", (request, reply, done) => {
    request.log.debug({ method: request.method, path: pathOf(request), status: reply.raw.statusCode, ms: Math.round(reply.elapsedTime) }, "request");
    done();
  });

  const rest = (request: FastifyRequest, reply: FastifyReply): Promise<unknown> => passer.handle(request, reply, context.signalOf(request));
  app.route({ method: ["GET", "HEAD"], url: "/health/live", handler: () => ({ status: "live" }) });
  app.route({ method: ["GET", "HEAD"], url: "/health/ready", handler: (request) => readiness(deps, request) });
  if (deps.healthOnly) {
    app.all("/*", () => {
      throw new MatrixError(404, "M_UNRECOGNIZED", "This process only polls (-role poller): clients go to another one");
    });
  } else {
    for (const addRoutes of deps.routes ?? []) addRoutes(app, context);
    app.all("/*", rest);
    app.setNotFoundHandler(rest);
  }

  app.addHook("preClose", (done) => {
    stopping.abort(unavailable("The server is stopping"));
    forwarder.stopWaiting();
    setTimeout(() => app.server.closeAllConnections(), STOP_MS).unref();
    done();
  });
  app.addHook("onClose", () => forwarder.close());
  return app;
}

/** `address`: the address it counts against. `end`: a request that waits is answered with the error. */
type RequestScope = {
  readonly signal: AbortSignal;
  readonly address: string | null;
  readonly onDone: (release: () => void) => void;
  readonly end: (error: MatrixError) => void;
};

/** What belongs to a request until its answer is sent or its client disconnects. */
function requestScopes(
  app: FastifyInstance,
  limits: ServerLimits,
  isTrusted: IsTrusted,
  stopping: AbortSignal,
  metrics: ServerDeps["metrics"],
): WeakMap<FastifyRequest, RequestScope> {
  const scopes = new WeakMap<FastifyRequest, RequestScope>();
  const total = new InProgress<"all">(limits.total);
  const perAddress = new InProgress<string>(limits.perAddress);
  app.addHook("onRequest", (request, reply, done) => {
    reply.headers({ ...CORS_HEADERS, "x-request-id": request.id });
    // Otherwise fastify refuses a malformed Content-Type before a route sees the request. rawHeaders still have it for the homeserver.
    delete request.raw.headers["content-type"];
    const gone = new AbortController();
    const releases: (() => void)[] = [];
    const face = faceOf(request.method, pathOf(request));
    const answered = metrics?.request(face);
    const trace = face === "health" ? null : traceRequest(request, face);
    if (answered || trace) {
      releases.push(() => {
        const status = reply.raw.writableFinished ? reply.raw.statusCode : CLIENT_GONE;
        answered?.(status);
        trace?.end(status);
      });
    }
    const address = clientAddress(request.raw, isTrusted);
    scopes.set(request, { signal: gone.signal, address, onDone: (release) => void releases.push(release), end: (error) => gone.abort(error) });
    reply.raw.once("close", () => {
      for (const release of releases) release();
      // A connection that became idle only now would keep a stopping server alive.
      if (stopping.aborted) setImmediate(() => app.server.closeIdleConnections());
      if (!reply.raw.writableFinished) gone.abort(new DOMException("The client has gone", "AbortError"));
    });
    try {
      if (stopping.aborted) throw stopping.reason;
      // Liveness must be answered under load too.
      if (!pathOf(request).startsWith("/health/")) {
        if (address !== null) releases.push(perAddress.enter(address));
        releases.push(total.enter("all"));
      }
      if (trace) trace.within(done);
      else done();
    } catch (error) {
      done(error as Error);
    }
  });
  return scopes;
}

/** What a route can do with a request's scope. `enter`: counts it against its device, and has its token proven while it waits. */
type Scoping = Pick<RouteContext, "passInstead"> & {
  readonly enter: (request: FastifyRequest, who: Proven) => void;
  readonly scopeOf: (request: FastifyRequest) => RequestScope;
};

function routeContext(deps: ServerDeps, auth: Authenticator, { enter, scopeOf, passInstead }: Scoping, stopping: AbortSignal): RouteContext {
  return {
    async authenticate(request: FastifyRequest): Promise<Auth> {
      const query = queryOf(request);
      const token = requiredToken(request.headers.authorization, query);
      if (query.has("user_id")) throw forbidden("Acting as another user (user_id) is not supported here");
      const who = await throughOutage(() => traced("authenticate", () => auth.verify(token, scopeOf(request).address)), scopeOf(request).signal);
      enter(request, who);
      deps.ensurePolling(who.account, who.device);
      return who;
    },
    readJsonBody: (request, device) => readJsonBody(request.raw, device),
    passInstead,
    signalOf: (request) => scopeOf(request).signal,
    stopping,
  };
}

/** Degraded is a 200: what is stored is served, and another process would do no better. */
async function readiness(deps: ServerDeps, request: FastifyRequest): Promise<{ status: string; reason?: string }> {
  try {
    const reason = await deps.ready();
    return reason === null ? { status: "ready" } : { status: "degraded", reason };
  } catch (error) {
    request.log.warn({ reason: error instanceof Error ? error.message : String(error) }, "Not ready");
    throw unavailable("Not ready: the database is unreachable or not migrated");
  }
}

/** The one place that turns errors into answers. Details of unexpected ones go only to the log (B22). */
function answerError(error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const database = error instanceof MatrixError ? null : databaseAnswer(error);
  if (database) {
    const { message, code } = error as Error & { readonly code?: string };
    request.log[database.passing ? "warn" : "error"]({ reason: message, code, path: pathOf(request) }, database.operator);
  }
  const known = database ? unavailable(database.client, database.retryAfter) : error instanceof MatrixError ? error : requestError(error);
  if (!known) {
    request.log.error({ err: error, method: request.method, path: pathOf(request) }, "A request failed");
  }
  const answer = known ?? internalError();
  return reply
    .code(answer.status)
    .headers({ ...CORS_HEADERS, ...answer.headers })
    .type("application/json")
    .send(answer.toBody());
}

/** Errors of the framework itself, e.g. for a path with broken escapes. */
function requestError(error: unknown): MatrixError | null {
  if (!(error instanceof Error) || !("statusCode" in error) || typeof error.statusCode !== "number") return null;
  if (error.statusCode < 400 || error.statusCode > 499) return null;
  return new MatrixError(error.statusCode, error.statusCode === 413 ? "M_TOO_LARGE" : "M_UNRECOGNIZED", error.message);
}

function queryOf(request: FastifyRequest): URLSearchParams {
  return new URLSearchParams(request.raw.url?.split("?").slice(1).join("?"));
}

/** The status in metrics if the client did not wait for its answer. */
const CLIENT_GONE = 499;

/** Without the query, which may contain an access token. */
function pathOf(request: FastifyRequest): string {
  return request.raw.url?.split("?", 1)[0] ?? "";
}
