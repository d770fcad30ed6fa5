/** Our HTTP server for tests: listening on loopback, in front of a fake homeserver; by default without a database. */

import type { AddressInfo } from "node:net";
import type { FastifyInstance } from "fastify";
import type { Forgetting, PassQueue, StoredToken, TokenStore } from "../../src/api/ports.ts";
import { KeyUploads } from "../../src/api/key-uploads.ts";
import { Sends } from "../../src/api/sends.ts";
import { createApiServer, type ServerDeps } from "../../src/api/http-server.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { SecretBox } from "../../src/base/secret-box.ts";
import { Hub } from "../../src/feed/hub.ts";
import { HomeserverClient } from "../../src/upstream/client.ts";
import type { AccountNo, DeviceNo } from "../../src/wire/ids.ts";

type Row = Pick<StoredToken, "account" | "device" | "userId" | "deviceId"> & {
  readonly provenAt: number;
  readonly dead: { readonly at: number; readonly softLogout: boolean } | null;
};

/** Tokens in memory: one account and one device a (user, device id). */
export class MemoryTokens implements TokenStore {
  readonly rows = new Map<string, Row>();
  readonly #locks = new Map<AccountNo, { readonly at: number; readonly body: string }>();
  readonly #numbers = new Map<string, number>();
  readonly #now: () => number;

  constructor(now: () => number = Date.now) {
    this.#now = now;
  }

  async find(hash: Buffer): Promise<StoredToken | null> {
    const row = this.rows.get(hash.toString("hex"));
    if (!row) return null;
    const { provenAt, dead, ...rest } = row;
    const lock = this.#locks.get(row.account);
    return {
      ...rest,
      provenAgoMs: this.#now() - provenAt,
      dead: dead && { agoMs: this.#now() - dead.at, softLogout: dead.softLogout },
      locked: lock ? { agoMs: this.#now() - lock.at, body: lock.body } : null,
    };
  }

  async register({ hash, userId, deviceId }: { hash: Buffer; userId: StoredToken["userId"]; deviceId: string }): Promise<Row> {
    const row = {
      account: this.#number(userId) as AccountNo,
      device: this.#number(`${userId} ${deviceId}`) as DeviceNo,
      userId,
      deviceId,
      provenAt: this.#now(),
      dead: null,
    };
    this.rows.set(hash.toString("hex"), row);
    this.#locks.delete(row.account);
    return row;
  }

  async proven(hash: Buffer, agoMs: number): Promise<void> {
    this.#change(hash, { provenAt: this.#now() - agoMs });
  }

  async dead(hash: Buffer, softLogout: boolean): Promise<void> {
    this.#change(hash, { dead: { at: this.#now(), softLogout } });
  }

  async locked(account: AccountNo, body: string): Promise<void> {
    this.#locks.set(account, { at: this.#now(), body });
  }

  async unlocked(account: AccountNo): Promise<void> {
    this.#locks.delete(account);
  }

  #change(hash: Buffer, change: Partial<Row>): void {
    const row = this.rows.get(hash.toString("hex"));
    if (row) this.rows.set(hash.toString("hex"), { ...row, ...change });
  }

  #number(key: string): number {
    const known = this.#numbers.get(key) ?? this.#numbers.size + 1;
    this.#numbers.set(key, known);
    return known;
  }
}

/** No device is polled. */
const nothingPolled: PassQueue = {
  polledDevice: async () => null,
  start: () => Promise.reject(new Error("no device is polled")),
  isWaiting: async () => false,
  pass: () => Promise.reject(new Error("no device is polled")),
};

/** Nothing is held, so nothing can be forgotten. */
const nothingHeld: Forgetting = {
  find: async () => null,
  forgetDevice: async () => {},
  forgetAccount: async () => {},
  forgetRoom: async () => {},
};

export type TestApi = {
  readonly app: FastifyInstance;
  /** Base URL, without a slash at the end. */
  readonly url: string;
  readonly client: HomeserverClient;
  readonly polled: [AccountNo, DeviceNo][];
  /** A request to it; `token` goes into the Authorization header. */
  readonly fetch: (path: string, init?: RequestInit & { token?: string }) => Promise<Response>;
  stop(): Promise<void>;
};

/** Starts it; whatever is not given in `over` is the emptiest there is. */
export async function startApi(baseUrl: string, over: Partial<ServerDeps> = {}): Promise<TestApi> {
  const client = new HomeserverClient({ baseUrl });
  const polled: [AccountNo, DeviceNo][] = [];
  const feed = new Hub();
  const app = createApiServer({
    baseUrl,
    client,
    secretBox: new SecretBox("test"),
    tokens: new MemoryTokens(),
    queue: nothingPolled,
    forgetting: nothingHeld,
    findDevice: async () => null,
    sends: new Sends({ store: { learned: () => Promise.reject(new Error("no device is held")) }, logger: silentLogger() }),
    keyUploads: new KeyUploads({ store: { uploaded: () => Promise.reject(new Error("no device is held")) }, feed, logger: silentLogger() }),
    feed,
    ensurePolling: (account, device) => void polled.push([account, device]),
    ready: async () => null,
    logger: silentLogger(),
    now: Date.now,
    ...over,
  });
  await app.listen({ host: "127.0.0.1", port: 0 });
  const url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
  return {
    app,
    url,
    client,
    polled,
    fetch: (path, { token, headers, ...init } = {}) =>
      fetch(url + path, {
        ...init,
        headers: { ...(token === undefined ? {} : { authorization: `Bearer ${token}` }), ...(headers as Record<string, string>) },
      }),
    stop: async () => {
      await app.close();
      await client.close();
    },
  };
}
