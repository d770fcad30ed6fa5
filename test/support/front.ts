/** The server in front of a real homeserver, and clients of both. */

import { type Logger, silentLogger } from "../../src/base/logger.ts";
import { SecretBox } from "../../src/base/secret-box.ts";
import { buildServer, type BuiltServer } from "../../src/server/build-server.ts";
import type { PageFiles } from "../../src/server/page-server.ts";
import type { SlidingOptions } from "../../src/sliding/sliding-engine.ts";
import { connect, type DbOptions, type Sql } from "../../src/store/db.ts";
import type { TestUser } from "./synapse-api.ts";
import { V3Client } from "./v3.ts";

export type FrontOptions = {
  /** Where clients reach it, so that every account's history is read through it. */
  readonly publicUrl?: string;
  readonly logger?: Logger;
  readonly sliding?: Partial<SlidingOptions>;
};

export class Front {
  readonly #homeserver: string;
  readonly #db: DbOptions;
  readonly #options: FrontOptions;
  #server: BuiltServer | null = null;
  #sql: Sql | null = null;
  /** Base URL; another one after a restart. */
  url = "";

  constructor(homeserver: string, db: DbOptions, options: FrontOptions = {}) {
    this.#homeserver = homeserver;
    this.#db = db;
    this.#options = options;
  }

  async start(): Promise<this> {
    const { publicUrl, ...parts } = this.#options;
    this.#sql = connect(this.#db);
    this.#server = await buildServer({
      settings: { trustedProxies: [], sessionIdleMs: 7 * 86_400_000, ...(publicUrl !== undefined && { publicUrl }) },
      homeserver: new URL(this.#homeserver),
      sql: this.#sql,
      db: this.#db,
      secretBox: new SecretBox("a secret of the test"),
      version: "test",
      logger: silentLogger(),
      ...parts,
    });
    this.url = await this.#server.listen({ host: "127.0.0.1", port: 0 });
    return this;
  }

  /** Shows the page. Its URL. */
  async showPage(files: PageFiles): Promise<string> {
    return (await this.#server?.listenForPage({ host: "127.0.0.1", port: 0 }, files)) ?? "";
  }

  async stop(): Promise<void> {
    await this.#server?.close();
    await this.#sql?.end({ timeout: 3 });
    this.#server = null;
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** A user's device as a client of sync v3. */
  client(user: TestUser): V3Client {
    return new V3Client(() => this.url, user.userId, user.deviceId, user.accessToken);
  }
}
