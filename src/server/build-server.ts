/** The parts put together: what answers HTTP, and what works in the background for it. */

import { randomUUID } from "node:crypto";

import { KeyUploads } from "../api/key-uploads.ts";
import { Sends } from "../api/sends.ts";
import { buildServer as buildHttp, renewCertificate } from "../api/server.ts";
import { SIMPLIFIED_SYNC } from "../api/versions.ts";
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
import { SLIDING_OPERATIONS, slidingRoutes } from "../sliding/face/routes.ts";
import { ACCOUNT_OPERATION, accountRoute } from "../v3/face/account-route.ts";
import { SESSIONS_OPERATIONS, sessionsRoute } from "../v3/face/sessions-route.ts";
import { SYNC_OPERATION, syncRoute } from "../v3/face/sync-route.ts";
import { SharedFeed } from "../feed/shared-feed.ts";
import { readAccountStatus } from "../store/account-status.ts";
import { connect, type DbOptions, type Sql } from "../store/db.ts";
import { readBreaker } from "../store/poll-troubles.ts";
import { checkReady } from "../store/ready.ts";
import { databaseBytes, estimatedRows } from "../store/sizes.ts";
import { readStalls, type Stalls } from "../store/stalls.ts";
import { findToken } from "../store/tokens.ts";
import { HomeserverClient } from "../upstream/client.ts";
import { Fetcher } from "../upstream/fetch.ts";
import { Ingester } from "../upstream/ingest/ingest.ts";
import type { SuspectsOptions } from "../upstream/ingest/suspects.ts";
import { resetAccount } from "../upstream/ingest/reset-account.ts";
import { RetentionJob } from "../upstream/retention.ts";
import { Supervisor, type SupervisorOptions } from "../upstream/supervisor.ts";
import type { Need } from "../sync/need.ts";
import { unknownToken } from "../wire/errors.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import { readCertificate, watchCertificate } from "./certificate.ts";
import { openBus } from "./open-bus.ts";
import type { OwnListener } from "./own-listener.ts";
import { listenForPage, type PageFiles, pageRoutes } from "./page-server.ts";
import { deviceFinder, forgetting, historyStore, keyUploadStore, passQueue, sentEventStore, sessionStore, tokenStore } from "./api-store.ts";

/** What `/versions` says that this server has, whatever the homeserver has: what the faces conform to. */
const VERSION_FEATURES: readonly string[] = [SIMPLIFIED_SYNC, "org.matrix.msc4508", "org.matrix.msc4538", "org.matrix.msc4543"];

/** An event of its own that a device is being told waits so long for the answer to its sending, which says the transaction id. */
const SEND_PATIENCE_MS = 1000;

/** What the server is built from. */
export type ServerParts = {
  readonly settings: Pick<Settings, "trustedProxies" | "sessionIdleMs"> &
    Partial<Pick<Settings, "maxSyncBytes" | "publicUrl" | "passAdmin" | "preferNative" | "asyncConnections" | "role" | "bus" | "tls">>;
  /** The homeserver's base URL; it has answered. */
  readonly homeserver: URL;
  readonly sql: Sql;
  /** Where it is: for pools of one's own. */
  readonly db: DbOptions;
  /** A way there without a pooler in transaction mode, for connections that are kept; null: there is none. Default: `db`. */
  readonly direct?: DbOptions | null;
  readonly secretBox: SecretBox;
  readonly version: string;
  readonly logger: Logger;
  /** Default: nothing is measured. */
  readonly metrics?: Metrics;
  /** The page, to be shown beside the API. Default: it is not. */
  readonly publicPage?: PageFiles;
  /** Bounds of the engine other than the default ones. */
  readonly engine?: Partial<EngineOptions>;
  readonly sliding?: Partial<SlidingOptions>;
  /** When typing ends that nobody confirms, and how often that is looked at, other than the default (S1). */
  readonly supervision?: Pick<SupervisorOptions, "typingMs" | "typingSweepMs" | "rereadMs">;
  /** When an answer that cannot be stored is blamed for it, other than by default (N3). */
  readonly suspects?: Partial<SuspectsOptions>;
};

/** A server, not yet listening. */
export type BuiltServer = {
  /** Starts to listen. The base URL or path where it does. */
  listen(address: ListenAddress): Promise<string>;
  /** Shows the page at an address of its own. The page's URL. To be called when it listens. */
  listenForPage(address: ListenAddress, files: PageFiles): Promise<string>;
  /** Answers the polls that wait, takes no new requests, and stops the pollers after their commit. */
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
    ...parts.supervision,
    ingest: (input) => ingester.ingest(input),
    resetAccount: (account, device) => resetAccount(sql, account, device),
  });
  const fetcher = new Fetcher({ sql, client, box, feed, logger, now });
  const retention = new RetentionJob({ sql, feed, logger, sessionIdleMs: settings.sessionIdleMs, ...measured });
  if (metrics) watch(metrics, sql, supervisor);
  const sends = new Sends({ store: sentEventStore(sql), logger });
  const engineDeps = {
    sql,
    feed,
    now,
    sign: (data: Buffer) => box.sign(data),
    ownTokens: settings.publicUrl !== undefined,
    fetch: (account: AccountNo, need: Need) => fetcher.fetch(account, need),
    tokenLives: async (hash: Buffer) => {
      const token = await findToken(sql, hash);
      if (token?.deadAt) throw unknownToken(token.softLogout);
      return token !== null;
    },
    sendsSettled: (device: DeviceNo) => sends.settled(device, SEND_PATIENCE_MS),
  };
  const engine = new Engine({ ...engineDeps, options: { ...ENGINE_DEFAULTS, sessionIdleMs: settings.sessionIdleMs, ...parts.engine } });
  const asyncCommits = settings.asyncConnections ?? false;
  const connectionSql = asyncCommits ? connect(parts.db, 2) : sql;
  // Well before an unused session is taken for idle.
  const touchMs = Math.min(SLIDING_DEFAULTS.touchMs, settings.sessionIdleMs / 4);
  const sliding = new SlidingEngine({
    ...engineDeps,
    ...measured,
    connectionSql,
    asyncCommits,
    options: { ...SLIDING_DEFAULTS, touchMs, ...parts.sliding },
  });
  const http = buildHttp({
    ...(certificate && { certificate }),
    ...measured,
    baseUrl: parts.homeserver.href,
    client,
    secretBox: box,
    tokens: tokenStore(sql, box),
    queue: passQueue(sql),
    forgetting: forgetting(sql, feed, (account, device) => supervisor.forget(account, device)),
    findDevice: deviceFinder(sql),
    history: historyStore(sql),
    sends,
    keyUploads: new KeyUploads({ store: keyUploadStore(sql), feed, logger }),
    feed,
    logger,
    now,
    ensurePolling: (account, device) => supervisor.ensure(account, device),
    ready: async () => {
      await checkReady(sql);
      const breaker = await readBreaker(sql);
      return breaker && `answers of ${breaker.accounts} accounts cannot be stored, and wait: ${breaker.detail}`;
    },
    trustedProxies: settings.trustedProxies,
    versionFeatures: VERSION_FEATURES,
    publicUrl: settings.publicUrl,
    passAdmin: settings.passAdmin ?? false,
    preferNative: settings.preferNative ?? false,
    upstreamToken: (token, account) => upstreamTokenOf(token, account, engineDeps.sign),
    healthOnly: settings.role === "poller",
    routes: [
      syncRoute(engine),
      sessionsRoute(sessionStore(sql, feed)),
      accountRoute(
        (account) => readAccountStatus(sql, account),
        (account) => supervisor.firstSyncs.received(account),
      ),
      slidingRoutes(sliding),
      ...(parts.publicPage ? [pageRoutes(parts.publicPage)] : []),
      openApiRoute(parts.version, [SYNC_OPERATION, ...SESSIONS_OPERATIONS, ACCOUNT_OPERATION, ...SLIDING_OPERATIONS]),
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
      await Promise.all([supervisor.stop(), fetcher.close(), retention.stop()]);
      await feed.close();
      if (connectionSql !== sql) await connectionSql.end();
    },
  };
}

/** What is read when it is asked for. */
function watch(metrics: Metrics, sql: Sql, supervisor: Supervisor): void {
  metrics.watch("polled_accounts", "Accounts that are polled upstream", () => supervisor.accounts().length);
  // Both figures of a scrape come from one pass over the accounts.
  let reading: Promise<Stalls> | null = null;
  const stalls = () => (reading ??= readStalls(sql).finally(() => (reading = null)));
  metrics.watch(
    "oldest_stall_seconds",
    "Since an answer of the homeserver was last stored, of the account where that is longest",
    async () => (await stalls()).oldest,
    "all",
  );
  metrics.watchEach("stalled_accounts", "Accounts that do not advance", "reason", async () => (await stalls()).accounts);
  metrics.watch("database_bytes", "The database on disk", () => databaseBytes(sql), "all");
  for (const [name, help] of [
    ["to_device", "To-device messages that somebody has not acknowledged"],
    ["accounts", "Accounts that are known"],
    ["sessions", "Sessions, v2 clients and connections"],
    ["poison", "Parts of responses that could not be stored and were set aside"],
  ] as const) {
    metrics.watch(`${name}_rows`, `${help}: as PostgreSQL has last counted`, () => estimatedRows(sql, name), "all");
  }
}
