/**
 * The whole server in front of a fake homeserver, with real HTTP and a real database, and a client that speaks sync v3 to it.
 *
 *     const t = await startV3();
 *     const alice = t.login("@alice:test", "PHONE", v2({ join: { … } }));
 *     const first = await alice.sync({ room_list: {} });
 *     await t.deliver(alice, v2({ … }));                      // resolves when it is stored
 *     const then = await alice.sync({}, { since: first.next });
 *     await t.stop();
 */

import { afterAll, beforeAll } from "vitest";
import { buildServer, type BuiltServer, type ServerParts } from "../../src/server/build-server.ts";
import { silentLogger, type Logger } from "../../src/base/logger.ts";
import { SecretBox } from "../../src/base/secret-box.ts";
import type { PageFiles } from "../../src/server/page-server.ts";
import type { EngineOptions } from "../../src/v3/request.ts";
import type { SlidingOptions } from "../../src/sliding/sliding-engine.ts";
import type { NatsOptions } from "../../src/feed/nats-bus.ts";
import type { DbOptions, Sql } from "../../src/store/db.ts";
import { checkAnswer, checkStrict } from "./answer-check.ts";
import { freshDatabase, type TestDatabase } from "./database.ts";
import { type FakeHomeserver, type Json, startFakeHomeserver, v2 } from "./fake-homeserver.ts";

/** An answer's body. Streams are looked into by tests, each knowing what it asked for. */
// oxlint-disable-next-line typescript/no-explicit-any -- the wire format under test is what a test asserts about
export type Answer = { readonly next: string; readonly [stream: string]: any };

export type Reply = { readonly status: number; readonly body: Answer; readonly text: string; readonly headers: Headers };

export type SyncOptions = { readonly since?: string | undefined; readonly timeout?: number | string; readonly signal?: AbortSignal };

/** A device with its access token. */
export class V3Client {
  readonly userId: string;
  readonly deviceId: string;
  token: string;
  /**
   * Answers are held against what /openapi.json says. False: the homeserver tells events that are none, and they pass as they are. That strict
   * clients can read them is checked all the same.
   */
  checksAnswers = true;
  readonly #url: () => string;

  constructor(url: () => string, userId: string, deviceId: string, token: string) {
    this.#url = url;
    this.userId = userId;
    this.deviceId = deviceId;
    this.token = token;
  }

  /** A sync that must succeed: its body. */
  async sync(body: Json = {}, options: SyncOptions = {}): Promise<Answer> {
    const reply = await this.request(body, options);
    if (reply.status !== 200) throw new Error(`sync answered ${reply.status}: ${reply.text}`);
    return reply.body;
  }

  /** A sync, whatever comes. A string is sent as it is. */
  request(body: Json | string = {}, { since, timeout, signal }: SyncOptions = {}): Promise<Reply> {
    const query = new URLSearchParams();
    if (since !== undefined) query.set("since", since);
    if (timeout !== undefined) query.set("timeout", String(timeout));
    const text = typeof body === "string" ? body : JSON.stringify(body);
    return this.fetch("POST", `/_matrix/client/v3/sync?${query.toString()}`, text, {}, signal);
  }

  /** Any request with the device's token. */
  async fetch(method: string, path: string, body?: string, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<Reply> {
    const response = await fetch(this.#url() + path, {
      method,
      headers: { authorization: `Bearer ${this.token}`, ...headers },
      ...(body === undefined ? {} : { body }),
      ...(signal ? { signal } : {}),
    });
    const text = await response.text();
    let parsed: unknown = {};
    try {
      parsed = JSON.parse(text);
    } catch {
      // Not JSON: the test looks at `text`.
    }
    if (response.status === 200 && method === "POST") checkStrict(path, text);
    if (this.checksAnswers && response.status === 200 && method === "POST") checkAnswer(path, parsed);
    return { status: response.status, body: parsed as Answer, text, headers: response.headers };
  }
}

/** `SYNCV3_TEST_WORKERS=4`: so many servers on one database, and each request goes to the next one. */
export const WORKERS = Number(process.env["SYNCV3_TEST_WORKERS"] ?? 1);

const NEVER_MS = 86_400_000;

export type V3Options = {
  readonly sessionIdleMs?: number;
  readonly role?: "api" | "poller";
  readonly paginatedSync?: boolean;
  readonly maxSyncBytes?: number;
  /** Default: so many that no test waits for them. */
  readonly checksPerSecond?: number;
  /** How many servers; a test that counts what each does says 1. */
  readonly workers?: number;
  readonly bus?: NatsOptions;
  /** See ServerParts. */
  readonly direct?: DbOptions | null;
  readonly trustedProxies?: readonly string[];
  readonly publicUrl?: string;
  /** See Settings. */
  readonly assumedRetention?: { readonly fallbackMs: number | null };
  readonly logger?: Logger;
  readonly database?: TestDatabase;
  readonly engine?: Partial<EngineOptions>;
  readonly sliding?: Partial<SlidingOptions>;
  readonly supervision?: ServerParts["supervision"];
  /** See ServerParts. Default false. */
  readonly checksHistory?: boolean;
  readonly suspects?: ServerParts["suspects"];
};

export class V3Fixture {
  readonly #options: V3Options;
  #parts: { readonly hs: FakeHomeserver; readonly database: TestDatabase } | null;
  #servers: BuiltServer[] = [];
  #urls: string[] = [];
  #asked = 0;

  /** @param parts of another fixture, for a further server on them; null: `open` makes them */
  constructor(options: V3Options, parts: { readonly hs: FakeHomeserver; readonly database: TestDatabase } | null = null) {
    this.#options = options;
    this.#parts = parts;
  }

  get hs(): FakeHomeserver {
    return this.#opened.hs;
  }

  get database(): TestDatabase {
    return this.#opened.database;
  }

  get #opened() {
    if (!this.#parts) throw new Error("the server of this test has not been started yet");
    return this.#parts;
  }

  /** Starts a homeserver, a database and the server. Once; `start` is for after a `stop`. */
  async open(): Promise<void> {
    this.#parts = { hs: await startFakeHomeserver(), database: this.#options.database ?? (await freshDatabase()) };
    await this.start();
  }

  /** Base URL of the server under test; of several workers each time that of the next. */
  get url(): string {
    return this.#urls[(this.#asked += 1) % this.#urls.length] ?? "";
  }

  get sql(): Sql {
    return this.database.sql;
  }

  /** Starts the server (again): what is visible must be the same (D22). */
  async start(): Promise<void> {
    this.#servers = await Promise.all(Array.from({ length: this.#options.workers ?? WORKERS }, () => this.#build()));
    this.#urls = await Promise.all(this.#servers.map((server) => server.listen({ host: "127.0.0.1", port: 0 })));
  }

  #build(): Promise<BuiltServer> {
    return buildServer({
      settings: {
        trustedProxies: this.#options.trustedProxies ?? [],
        sessionIdleMs: this.#options.sessionIdleMs ?? 7 * 86_400_000,
        checksPerSecond: this.#options.checksPerSecond ?? 1000,
        ...(this.#options.maxSyncBytes !== undefined && { maxSyncBytes: this.#options.maxSyncBytes }),
        ...(this.#options.publicUrl !== undefined && { publicUrl: this.#options.publicUrl }),
        ...(this.#options.assumedRetention && { assumedRetention: this.#options.assumedRetention }),
        ...(this.#options.paginatedSync && { paginatedSync: true }),
        ...(this.#options.role && { role: this.#options.role }),
        ...(this.#options.bus && { bus: this.#options.bus }),
      },
      homeserver: new URL(this.hs.url),
      sql: this.sql,
      db: this.database.options,
      ...(this.#options.direct !== undefined && { direct: this.#options.direct }),
      secretBox: new SecretBox("a secret of the test"),
      version: "test",
      logger: this.#options.logger ?? silentLogger(),
      ...(this.#options.engine && { engine: this.#options.engine }),
      ...(this.#options.sliding && { sliding: this.#options.sliding }),
      // Unless a test is about them, no questions come between what it expects the homeserver to be asked.
      checksHistory: this.#options.checksHistory ?? false,
      supervision: { checkMs: NEVER_MS, ...this.#options.supervision },
      ...(this.#options.suspects && { suspects: this.#options.suspects }),
    });
  }

  /** Shows the page. Its URL. */
  async showPage(files: PageFiles): Promise<string> {
    return (await this.#servers[0]?.listenForPage({ host: "127.0.0.1", port: 0 }, files)) ?? "";
  }

  async stopServer(): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.close()));
    this.#servers = [];
  }

  async restart(): Promise<void> {
    await this.stopServer();
    await this.start();
  }

  /** A device that the homeserver knows; `first` is its first v2 answer. */
  login(userId = "@alice:test", deviceId = "PHONE", first: Json = v2()): V3Client {
    const token = this.hs.login(userId, deviceId);
    this.hs.queueSync(token, first);
    return this.clientOf(userId, deviceId, token);
  }

  /** A client with a token that the homeserver made, and nothing else. */
  clientOf(userId: string, deviceId: string, token: string): V3Client {
    return new V3Client(() => this.url, userId, deviceId, token);
  }

  /** The same device under another token, as after a refresh. */
  refresh(client: V3Client): V3Client {
    return new V3Client(() => this.url, client.userId, client.deviceId, this.hs.login(client.userId, client.deviceId));
  }

  /** Gives v2 responses to the device's poller, and waits until they are stored. The device must be polled already. */
  async deliver(client: V3Client, ...responses: Json[]): Promise<void> {
    this.hs.queueSync(client.token, ...responses);
    await this.hs.waitForPoll(client.token);
  }

  async stop(): Promise<void> {
    await this.stopServer();
    await this.hs.stop();
    await this.database.drop();
  }
}

/** A running server in front of a running fake homeserver. */
export async function startV3(options: V3Options = {}): Promise<V3Fixture> {
  const fixture = new V3Fixture(options);
  await fixture.open();
  return fixture;
}

/** The server that all tests of a file, or of a `describe`, use: started before the first of them, stopped after the last. */
export function v3Server(options: V3Options = {}): V3Fixture {
  const fixture = new V3Fixture(options);
  beforeAll(() => fixture.open());
  afterAll(() => fixture.stop());
  return fixture;
}
