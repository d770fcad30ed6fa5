/** `syncv3 serve`: starts the server from its settings, and runs it until it is stopped. */

import { fileURLToPath } from "node:url";
import type { Logger } from "../base/logger.ts";
import { Metrics, SharedMetrics } from "../base/metrics.ts";
import { startTracing } from "../base/tracing.ts";
import { SecretBox } from "../base/secret-box.ts";
import type { PageSettings, Settings } from "../config/options.ts";
import { resolveServer } from "../config/server-url.ts";
import { connect, type Sql } from "../store/db.ts";
import { type BuiltServer, buildServer } from "../server/build-server.ts";
import { readCertificate } from "../server/certificate.ts";
import { startMetrics } from "./metrics-server.ts";
import { checkNats } from "../server/open-bus.ts";
import { openDatabase } from "./open-database.ts";
import { type PageFiles, readPage } from "../server/page-server.ts";
import { keptSecret } from "./secret.ts";
import { removeStaleSocket } from "../server/stale-socket.ts";
import { startWorkers, tellParent, type WorkerOrder } from "./workers.ts";

export type ServeInput = {
  readonly settings: Settings;
  readonly version: string;
  readonly logger: Logger;
  /** Prints a line for the operator. */
  readonly say: (line: string) => void;
  /** Aborted: stop cleanly. */
  readonly signal: AbortSignal;
};

/**
 * Serves until `signal` is aborted. Errors in the settings are thrown before anything is started, where possible.
 * @throws BadUrl, BadServer, BadSecretFile, DatabaseUnusable, DirectoryInUse, ... each with a message for the operator
 */
export async function serve({ settings, version, logger, say, signal }: ServeInput): Promise<void> {
  say(`syncv3 ${version}`);
  const homeserver = await resolveServer(settings.server, signal);
  // `listen` reads it again. Reading it here reports errors before anything is started.
  if (settings.tls) await readCertificate(settings.tls);
  const secret = await secretOf(settings, logger);
  const database = await openDatabase(settings, logger, say, signal);
  try {
    const { sql, options: db, direct } = database;
    const subject = settings.bus && (await checkNats(settings.bus, sql, new SecretBox(secret)));
    const order = { settings, homeserver: homeserver.href, db, direct, secret, version };
    const metrics = settings.prom && (settings.workers > 1 ? new SharedMetrics() : new Metrics());
    const prom = settings.prom && metrics && (await startMetrics(settings.prom, metrics));
    const endTracing = settings.workers > 1 ? null : await startTracingOf(settings, version);
    const server = await listen(order, sql, logger, metrics instanceof Metrics ? metrics : undefined).catch(async (error: unknown) => {
      await prom?.close();
      await endTracing?.();
      throw error;
    });
    try {
      const { url, page } = server;
      say(`  homeserver  ${homeserver.href}`);
      say(`  database    ${database.description}`);
      if (settings.bus) say(`  wake-ups    NATS at ${settings.bus.servers.join(", ")}, subject ${subject}`);
      if (prom) say(`  metrics     ${prom.url}`);
      if (page !== null) say(`  page        ${page}`);
      say(`  listening   ${url}${settings.workers > 1 ? ` (${settings.workers} processes)` : ""}`);
      say(`Use this address in Matrix clients instead of the homeserver's, or try it with a user's access token:`);
      const target = "path" in settings.listen ? `--unix-socket ${url} http://localhost` : url;
      say(`  curl -X POST -H "Authorization: Bearer $TOKEN" -d '{}' ${target}/_matrix/client/v3/sync`);
      const reason = await Promise.race([aborted(signal), database.failed]);
      if (reason instanceof Error) throw reason;
      say("Stopping");
    } finally {
      await server.close();
      await prom?.close();
      await endTracing?.();
    }
  } finally {
    await database.close();
  }
}

/** A listening server, in this process or in several. `page`: the URL of the page; null: it is not served. */
type Listening = { readonly url: string; readonly page: string | null; close(): Promise<void> };

async function listen(order: WorkerOrder, sql: Sql, logger: Logger, metrics: Metrics | undefined): Promise<Listening> {
  const { settings } = order;
  if ("path" in settings.listen) await removeStaleSocket(settings.listen.path);
  return settings.workers > 1 ? startWorkers(order, settings.workers, logger) : listenHere(order, sql, logger, metrics);
}

async function listenHere(
  { settings, homeserver, secret, ...order }: WorkerOrder,
  sql: Sql,
  logger: Logger,
  metrics: Metrics | undefined,
): Promise<Listening> {
  const page = settings.page === "off" || settings.role === "poller" ? null : await builtPage(logger);
  const server = await buildServer({
    ...order,
    settings,
    homeserver: new URL(homeserver),
    sql,
    secretBox: new SecretBox(secret),
    logger,
    ...(metrics && { metrics }),
    ...(page && settings.page === "public" && { publicPage: page }),
  });
  try {
    const url = await server.listen(settings.listen);
    return { url, page: page && (await showPage(server, settings.page, url, page, logger)), close: () => server.close() };
  } catch (error) {
    await server.close();
    throw error;
  }
}

/** The built page; null: it was not built. */
async function builtPage(logger: Logger): Promise<PageFiles | null> {
  try {
    return await readPage(fileURLToPath(new URL("../../dist/page", import.meta.url)));
  } catch (error) {
    logger.warn({ reason: (error as Error).message }, "The page /client/ was not built, so it is not served. Build it with: npm run build");
    return null;
  }
}

/** The URL of the page; null: it is not served, e.g. because the default address is in use. */
async function showPage(server: BuiltServer, page: PageSettings, url: string, files: PageFiles, logger: Logger): Promise<string | null> {
  if (page === "off") return null;
  if (page === "public") return `${url}/client/`;
  try {
    return await server.listenForPage(page.listen, files);
  } catch (error) {
    if (!page.isDefault || (error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    logger.warn("The page /client/ is not served: its default address is in use. Give another address with -client-port, or off");
    return null;
  }
}

/** Runs a worker until `signal` is aborted: everything except what its parent has already done. */
export async function serveAsWorker(order: WorkerOrder, logger: Logger, signal: AbortSignal): Promise<void> {
  let endTracing: (() => Promise<void>) | null = null;
  const sql = connect(order.db, order.settings.maxDbConnections);
  try {
    const metrics = order.settings.prom && new Metrics();
    metrics?.share();
    endTracing = await startTracingOf(order.settings, order.version);
    const server = await listenHere(order, sql, logger, metrics);
    await tellParent({ syncv3: "listening", url: server.url, page: server.page });
    await aborted(signal);
    await server.close();
  } finally {
    await sql.end({ timeout: 3 });
    await endTracing?.();
  }
}

/** Starts tracing if it is configured, and returns a function that ends it. */
async function startTracingOf({ otlpUrl }: Settings, version: string): Promise<(() => Promise<void>) | null> {
  return otlpUrl === undefined ? null : startTracing({ url: otlpUrl, version });
}

async function secretOf(settings: Settings, logger: Logger): Promise<string> {
  if (settings.secret !== undefined) return settings.secret;
  const { secret, path, made } = await keptSecret(settings.data);
  if (settings.db !== undefined) {
    const text = `${made ? "Generated a secret in" : "Using the secret in"} ${path}. Other machines on this database need the same secret: give it to all of them with -secret or SYNCV3_SECRET`;
    logger.warn({ path }, text);
  }
  return secret;
}

function aborted(signal: AbortSignal): Promise<"aborted"> {
  if (signal.aborted) return Promise.resolve("aborted");
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve("aborted"), { once: true }));
}
