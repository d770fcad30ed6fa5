/** Assembles the server: the HTTP side and its background work. */

import { randomUUID } from "node:crypto";

import { KeyUploads } from "../api/key-uploads.ts";
import { Sends } from "../api/sends.ts";
import { createApiServer, renewCertificate } from "../api/http-server.ts";
import type { Logger } from "../base/logger.ts";
import type { Metrics } from "../base/metrics.ts";
import type { SecretBox } from "../base/secret-box.ts";
import type { ListenAddress } from "../config/listen-address.ts";
import type { Settings } from "../config/options.ts";
import { Engine, ENGINE_DEFAULTS } from "../v3/engine.ts";
import type { EngineOptions } from "../v3/request.ts";
import { upstreamTokenOf } from "../sliding/pos.ts";
import { SLIDING_DEFAULTS, SlidingEngine, type SlidingOptions } from "../sliding/sliding-engine.ts";
import { openApiRoute } from "../http/openapi.ts";
import { foldStates } from "../sliding/stored-state.ts";
import { PAGED_OPERATION, pagedRoute, SLIDING_OPERATIONS, slidingRoutes } from "../sliding/face/routes.ts";
import { ACCOUNT_OPERATION, accountRoute } from "../v3/face/account-route.ts";
import { SESSIONS_OPERATIONS, sessionsRoute } from "../v3/face/sessions-route.ts";
import { SYNC_OPERATION, syncRoute } from "../v3/face/sync-route.ts";
import { SharedFeed } from "../feed/shared-feed.ts";
import { readAccountStatus } from "../store/account-status.ts";
import { CONNECTION_IDLE_MS } from "../store/retention/sessions.ts";
import { connect, type DbOptions, type Sql } from "../store/db.ts";
import type { RoomEvent } from "../store/bundles.ts";
import type { RoomHero } from "../store/background-asks.ts";
import { readBreaker } from "../store/poll-troubles.ts";
import { checkReady } from "../store/ready.ts";
import { databaseBytes, estimatedRows } from "../store/sizes.ts";
import { readStalls, type Stalls } from "../store/stalls.ts";
import { findToken } from "../store/tokens.ts";
import { HomeserverClient } from "../upstream/client.ts";
import { Fetcher } from "../upstream/fetch.ts";
import { BackgroundAsks } from "../upstream/background-asks.ts";
import { Ingester } from "../upstream/ingest/ingest.ts";
import type { SuspectsOptions } from "../upstream/ingest/suspects.ts";
import { resetAccount } from "../upstream/ingest/reset-account.ts";
import { QuestionBudget } from "../upstream/reconcile/question-budget.ts";
import { RetentionJob } from "../upstream/retention-job.ts";
import { ReplacedStates } from "../upstream/replaced-states.ts";
import { Supervisor } from "../upstream/supervisor.ts";
import type { SupervisorOptions } from "../upstream/supervisor-options.ts";
import type { Need } from "../sync/fetch-need.ts";
import { accountLocked, unknownToken } from "../wire/errors.ts";
import { SIMPLIFIED_SYNC } from "../wire/versions.ts";
import type { AccountNo, DeviceNo, RoomId } from "../wire/ids.ts";
import { readCertificate, watchCertificate } from "./certificate.ts";
import { counted } from "../base/counted.ts";
import { openBus } from "./open-bus.ts";
import type { OwnListener } from "./own-listener.ts";
import { listenForPage, type PageFiles, pageRoutes } from "./page-server.ts";
import {
  deviceFinder,
  forgetting,
  historyStore,
  keyUploadStore,
  passQueue,
  roomStore,
  sentEventStore,
  sessionStore,
  threadPages,
  tokenStore,
} from "./api-store.ts";

/**
 * The features that `/versions` always lists, because this server provides them itself: sliding sync, and each of its extensions. A stable flag is
 * for an MSC that is accepted.
 */
const VERSION_FEATURES: readonly string[] = [
  SIMPLIFIED_SYNC,
  "org.matrix.msc4508",
  "org.matrix.msc4508.stable",
  "org.matrix.msc4538",
  "org.matrix.msc4543",
  "org.matrix.msc4548",
  "org.matrix.msc4551",
];

/** As above, of paginated sync. */
const PAGINATED_SYNC = "org.matrix.msc4525";

/** How long an answer with a device's own new event waits for the answer to its sending, which has the transaction ID, ms. */
const SEND_PATIENCE_MS = 1000;

/** The parts of a server. */
export type ServerParts = {
  readonly settings: Pick<Settings, "trustedProxies" | "sessionIdleMs"> &
    Partial<
      Pick<
        Settings,
        | "connectionIdleMs"
        | "maxSyncBytes"
        | "checksPerSecond"
        | "feedBytes"
        | "publicUrl"
        | "passAdmin"
        | "preferNative"
        | "asyncConnections"
        | "role"
        | "bus"
        | "tls"
        | "assumedRetention"
        | "paginatedSync"
      >
    >;
  /** The homeserver's base URL; the homeserver has answered there. */
  readonly homeserver: URL;
  readonly sql: Sql;
  /** The address of the same database, for further pools. */
  readonly db: DbOptions;
  /** The same database without a pooler in transaction mode, for long-lived connections; null: not available. Default: `db`. */
  readonly direct?: DbOptions | null;
  readonly secretBox: SecretBox;
  readonly version: string;
  readonly logger: Logger;
  /** Default: nothing is measured. */
  readonly metrics?: Metrics;
  /** The page, if it is served on the address of the API. */
  readonly publicPage?: PageFiles;
  /** Limits of the engine that differ from the defaults. */
  readonly engine?: Partial<EngineOptions>;
  readonly sliding?: Partial<SlidingOptions>;
  /** How often the background work is done, if not the defaults. */
  readonly supervision?: Pick<
    SupervisorOptions,
    "typingMs" | "typingSweepMs" | "rereadMs" | "checkMs" | "secondLookMs" | "setbackMs" | "unignoredMs" | "freshStartMs" | "feedGapsMs" | "gapMs"
  >;
  /** False: whether history was purged is not asked (T4). Default true. */
  readonly checksHistory?: boolean;
  /** When an answer is blamed for not being storable, if not the defaults (N3). */
  readonly suspects?: Partial<SuspectsOptions>;
};

/** A server that is not listening yet. */
export type BuiltServer = {
  /** Starts to listen. Returns the base URL, or the path of the socket. */
  listen(address: ListenAddress): Promise<string>;
  /** Serves the page on a separate address and returns the page's URL. Call it after `listen`. */
  listenForPage(address: ListenAddress, files: PageFiles): Promise<string>;
  /** Answers waiting requests, refuses new ones, and stops the pollers after their commit. */
  close(): Promise<void>;
};

export async function buildServer(parts: ServerParts): Promise<BuiltServer> {
  const { sql, secretBox: box, logger, settings, metrics } = parts;
  const measured = metrics && { metrics };
  const certificate = settings.tls && (await readCertificate(settings.tls));
  const now = Date.now;
  const ingester = new Ingester({ sql, logger, ...measured, ...(parts.suspects && { suspects: parts.suspects }) });
  const client = new HomeserverClient({
    baseUrl: parts.homeserver.href,
    userAgent: `syncv3/${parts.version}`,
    maxResponseBytes: settings.maxSyncBytes,
    ...measured,
  });
  const questions = new QuestionBudget({ sql, perSecond: settings.checksPerSecond });
  const replacedStates = new ReplacedStates({ sql, client, box, logger, questions, now });
  const { direct = parts.db } = parts;
  const feed = new SharedFeed(await openBus(settings.bus, { sql, direct, box, logger }), logger);
  const supervisor = new Supervisor({
    sql,
    client,
    box,
    feed,
    logger,
    ownerId: randomUUID(),
    lockDb: direct,
    polls: settings.role !== "api",
    questions,
    assumedRetention: settings.assumedRetention,
    ...parts.supervision,
    ingest: async (input) => {
      const result = await ingester.ingest(input);
      if (result.kind === "stored") replacedStates.begin(input.account, result.replaced);
      return result;
    },
    resetAccount: (account, device) => resetAccount(sql, account, device),
  });
  const fetcher = new Fetcher({ sql, client, box, feed, logger, now });
  const background = new BackgroundAsks({ sql, client, box, feed, logger, questions, now });
  const { sessionIdleMs, connectionIdleMs = CONNECTION_IDLE_MS, feedBytes } = settings;
  const retention = new RetentionJob({ sql, feed, logger, sessionIdleMs, connectionIdleMs, feedBytes, foldStates, ...measured });
  if (metrics) watch(metrics, sql, supervisor);
  const sends = new Sends({ store: sentEventStore(sql), logger });
  const engineDeps = {
    sql,
    feed,
    now,
    sign: (data: Buffer) => box.sign(data),
    ownTokens: settings.publicUrl !== undefined,
    fetch: (account: AccountNo, need: Need) => fetcher.fetch(account, need),
    learnHeroes: (account: AccountNo, heroes: readonly RoomHero[]) => background.heroes(account, heroes),
    checkBeginnings: (account: AccountNo, rooms: readonly RoomId[]) => {
      if (parts.checksHistory ?? true) background.beginnings(account, rooms);
    },
    askBundles: (account: AccountNo, events: readonly RoomEvent[]) => background.bundles(account, events),
    tokenLives: async (hash: Buffer) => {
      const token = await findToken(sql, hash);
      if (token?.deadAt) throw unknownToken(token.softLogout);
      if (token?.locked) throw accountLocked(token.locked.body);
      return token !== null;
    },
    sendsSettled: (device: DeviceNo) => sends.settled(device, SEND_PATIENCE_MS),
    opened: (account: AccountNo) => supervisor.checkSoon(account),
  };
  const engine = new Engine({ ...engineDeps, options: { ...ENGINE_DEFAULTS, sessionIdleMs, ...parts.engine } });
  const asyncCommits = settings.asyncConnections ?? false;
  const connectionSql = asyncCommits ? connect(parts.db, 2) : sql;
  // Well before an unused connection counts as idle.
  const touchMs = Math.min(SLIDING_DEFAULTS.touchMs, connectionIdleMs / 4);
  const sliding = new SlidingEngine({
    ...engineDeps,
    ...measured,
    learnRooms: (account, rooms) => background.rooms(account, rooms),
    wantProfiles: (account, fields) => background.profiles(account, fields),
    connectionSql,
    asyncCommits,
    options: { ...SLIDING_DEFAULTS, touchMs, ...parts.sliding },
  });
  const http = createApiServer({
    ...(certificate && { certificate }),
    ...measured,
    baseUrl: parts.homeserver.href,
    client,
    secretBox: box,
    tokens: tokenStore({ sql, box, feed, logger }),
    queue: passQueue(sql),
    forgetting: forgetting(sql, feed, (account, device) => supervisor.forget(account, device)),
    findDevice: deviceFinder(sql),
    history: historyStore(sql),
    rooms: roomStore(sql),
    sends,
    keyUploads: new KeyUploads({ store: keyUploadStore(sql), feed, logger }),
    feed,
    logger,
    // Unlike the time of day it never jumps.
    now: () => performance.now(),
    ensurePolling: (account, device) => supervisor.ensure(account, device),
    roomRefused: (account) => supervisor.checkSoon(account),
    ready: async () => {
      await checkReady(sql);
      const breaker = await readBreaker(sql);
      return breaker && `answers of ${counted(breaker.accounts, "account")} cannot be stored and are waiting: ${breaker.detail}`;
    },
    trustedProxies: settings.trustedProxies,
    versionFeatures: settings.paginatedSync ? [...VERSION_FEATURES, PAGINATED_SYNC] : VERSION_FEATURES,
    publicUrl: settings.publicUrl,
    passAdmin: settings.passAdmin ?? false,
    preferNative: settings.preferNative ?? false,
    upstreamToken: (token, account) => upstreamTokenOf(token, account, engineDeps.sign),
    threadPages: threadPages(sql),
    healthOnly: settings.role === "poller",
    routes: [
      syncRoute(engine),
      sessionsRoute(sessionStore(sql, feed)),
      accountRoute(
        (account) => readAccountStatus(sql, account),
        (account) => supervisor.firstSyncs.received(account),
      ),
      slidingRoutes(sliding),
      ...(settings.paginatedSync ? [pagedRoute(sliding)] : []),
      ...(parts.publicPage ? [pageRoutes(parts.publicPage)] : []),
      openApiRoute(parts.version, [
        SYNC_OPERATION,
        ...SESSIONS_OPERATIONS,
        ACCOUNT_OPERATION,
        ...SLIDING_OPERATIONS,
        ...(settings.paginatedSync ? [PAGED_OPERATION] : []),
      ]),
    ],
  });
  const unwatch = settings.tls && watchCertificate(settings.tls, (renewed) => renewCertificate(http, renewed), logger);
  let page: OwnListener | undefined;
  return {
    async listen(address) {
      await feed.start();
      supervisor.start();
      retention.start();
      const url = await http.listen(address);
      return certificate ? url.replace(/^http:/, "https:") : url;
    },
    async listenForPage(address, files) {
      page = await listenForPage(address, files, (request, response) => http.routing(request, response));
      return page.url;
    },
    async close() {
      unwatch?.();
      engine.drain();
      sliding.drain();
      await http.close();
      await page?.close();
      await Promise.all([supervisor.stop(), fetcher.close(), background.close(), replacedStates.close(), retention.stop()]);
      await feed.close();
      if (connectionSql !== sql) await connectionSql.end();
    },
  };
}

/** Registers the metrics that are read when Prometheus asks for them. */
function watch(metrics: Metrics, sql: Sql, supervisor: Supervisor): void {
  metrics.watch("polled_accounts", "Accounts that are being polled", () => supervisor.accounts().length);
  // One pass over the accounts gives both figures of a scrape.
  let reading: Promise<Stalls> | null = null;
  const stalls = () => (reading ??= readStalls(sql).finally(() => (reading = null)));
  metrics.watch(
    "oldest_stall_seconds",
    "Seconds since an answer of the homeserver was last stored, for the account with the longest time",
    async () => (await stalls()).oldest,
    "all",
  );
  metrics.watchEach("stalled_accounts", "Accounts that make no progress, by reason", "reason", async () => (await stalls()).accounts);
  metrics.watch("database_bytes", "Size of the database on disk", () => databaseBytes(sql), "all");
  for (const [name, help] of [
    ["to_device", "To-device messages that are not acknowledged by every reader"],
    ["accounts", "Known accounts"],
    ["sessions", "Sessions, v2 clients and sliding sync connections"],
    ["poison", "Parts of responses that could not be stored and were set aside"],
  ] as const) {
    metrics.watch(`${name}_rows`, `${help}, as PostgreSQL last estimated`, () => estimatedRows(sql, name), "all");
  }
}
