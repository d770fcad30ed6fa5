/** The parts put together: what answers HTTP, and what works in the background for it. */

import { randomUUID } from "node:crypto";

import { Sends } from "../api/sends.ts";
import { buildServer as buildHttp } from "../api/server.ts";
import { SIMPLIFIED_SYNC } from "../api/versions.ts";
import type { Logger } from "../base/logger.ts";
import type { SecretBox } from "../base/secret-box.ts";
import type { ListenAddress } from "../config/listen-address.ts";
import type { Settings } from "../config/options.ts";
import { Engine, ENGINE_DEFAULTS, type EngineOptions } from "../engine/engine.ts";
import { sessionsRoute } from "../faces/v3/sessions-route.ts";
import { syncRoute } from "../faces/v3/sync-route.ts";
import { PostgresFeed } from "../feed/listen.ts";
import type { DbOptions, Sql } from "../store/db.ts";
import { checkReady } from "../store/ready.ts";
import { findToken } from "../store/tokens.ts";
import { HomeserverClient } from "../upstream/client.ts";
import { Fetcher } from "../upstream/fetch.ts";
import { ingest } from "../upstream/ingest/ingest.ts";
import { resetAccount } from "../upstream/ingest/reset-account.ts";
import { RetentionJob } from "../upstream/retention.ts";
import { Supervisor, type SupervisorOptions } from "../upstream/supervisor.ts";
import { unknownToken } from "../wire/errors.ts";
import { deviceFinder, forgetting, passQueue, sentEventStore, tokenStore } from "./api-store.ts";
import { removeStaleSocket } from "./stale-socket.ts";

/** What `/versions` says that this server has, whatever the homeserver has: what the faces conform to. */
const VERSION_FEATURES: readonly string[] = [SIMPLIFIED_SYNC];

/** What the server is built from. */
export type ServerParts = {
  readonly settings: Pick<Settings, "trustedProxies" | "sessionIdleMs"> & Partial<Pick<Settings, "publicUrl" | "passAdmin" | "preferNative">>;
  /** The homeserver's base URL; it has answered. */
  readonly homeserver: URL;
  readonly sql: Sql;
  /** Where it is: for connections of one's own, straight to PostgreSQL. */
  readonly db: DbOptions;
  readonly secretBox: SecretBox;
  readonly version: string;
  readonly logger: Logger;
  /** Bounds of the engine other than the default ones. */
  readonly engine?: Partial<EngineOptions>;
  /** When typing ends that nobody confirms, and how often that is looked at, other than the default (S1). */
  readonly supervision?: Pick<SupervisorOptions, "typingMs" | "typingSweepMs">;
};

/** A server, not yet listening. */
export type BuiltServer = {
  /** Starts to listen. The base URL or path where it does. */
  listen(address: ListenAddress): Promise<string>;
  /** Answers the polls that wait, takes no new requests, and stops the pollers after their commit. */
  close(): Promise<void>;
};

export async function buildServer(parts: ServerParts): Promise<BuiltServer> {
  const { sql, secretBox: box, logger, settings } = parts;
  const now = Date.now;
  const client = new HomeserverClient({ baseUrl: parts.homeserver.href, userAgent: `syncv3/${parts.version}` });
  const feed = new PostgresFeed(sql, logger);
  const supervisor = new Supervisor({
    sql,
    client,
    box,
    feed,
    logger,
    ownerId: randomUUID(),
    lockDb: parts.db,
    ...parts.supervision,
    ingest: (input) => ingest({ sql }, input),
    resetAccount: (account, device) => resetAccount(sql, account, device),
  });
  const fetcher = new Fetcher({ sql, client, box, feed, logger, now });
  const retention = new RetentionJob({ sql, logger, sessionIdleMs: settings.sessionIdleMs });
  const engine = new Engine({
    sql,
    feed,
    now,
    sign: (data) => box.sign(data),
    fetch: (account, need) => fetcher.fetch(account, need),
    assertTokenLives: async (hash) => {
      const token = await findToken(sql, hash);
      if (!token || token.deadAt) throw unknownToken(token?.softLogout);
    },
    options: { ...ENGINE_DEFAULTS, sessionIdleMs: settings.sessionIdleMs, ...parts.engine },
  });
  const sends = new Sends({ store: sentEventStore(sql), logger });
  const http = buildHttp({
    baseUrl: parts.homeserver.href,
    client,
    secretBox: box,
    tokens: tokenStore(sql, box),
    queue: passQueue(sql),
    forgetting: forgetting(sql, (account, device) => supervisor.forget(account, device)),
    findDevice: deviceFinder(sql),
    sends,
    feed,
    logger,
    now,
    ensurePolling: (account, device) => supervisor.ensure(account, device),
    ready: () => checkReady(sql),
    trustedProxies: settings.trustedProxies,
    versionFeatures: VERSION_FEATURES,
    publicUrl: settings.publicUrl,
    passAdmin: settings.passAdmin ?? false,
    preferNative: settings.preferNative ?? false,
    routes: [syncRoute(engine), sessionsRoute(sql)],
  });
  return {
    async listen(address) {
      await feed.start();
      supervisor.start();
      retention.start();
      if ("path" in address) await removeStaleSocket(address.path);
      return http.listen(address);
    },
    async close() {
      engine.drain();
      await http.close();
      await Promise.all([supervisor.stop(), fetcher.close(), retention.stop()]);
      await feed.close();
    },
  };
}
