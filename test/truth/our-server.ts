/** The server under test, as a process of its own that can be stopped, killed and started again at the same address. */

import { parseDsn } from "../../src/config/dsn.ts";
import { connect, type Sql } from "../../src/store/db.ts";
import { runCommand, type RunningCommand } from "../support/command.ts";
import { freePort } from "../support/daemon.ts";

export class OurServer {
  readonly #args: readonly string[];
  readonly #sql: Sql;
  readonly url: string;
  #command: RunningCommand | null = null;

  private constructor(args: readonly string[], sql: Sql, url: string) {
    this.#args = args;
    this.#sql = sql;
    this.url = url;
  }

  /** `dsn`: an existing database. */
  static async start(homeserver: string, dsn: string): Promise<OurServer> {
    const port = await freePort();
    const sql = connect(parseDsn(dsn));
    const server = new OurServer([homeserver, dsn, String(port)], sql, `http://127.0.0.1:${port}`);
    await server.start();
    return server;
  }

  /** Whether every account that is polled was polled with success since. */
  async hasPolledSince(at: Date): Promise<boolean> {
    const [row] = await this.#sql<{ late: boolean }[]>`
      select exists (select from leases where expires_at > now() and coalesce(polled_at < ${at}, true)) as late`;
    return row?.late === false;
  }

  /** Every account's rooms are compared with the homeserver's soon: T1's bounds are over. */
  async checkRooms(): Promise<void> {
    await this.#sql`update accounts set check_at = now(), checked_at = null, compared_at = null`;
  }

  get isUp(): boolean {
    return this.#command !== null;
  }

  /** What it has logged since it was last started. */
  get log(): string {
    return this.#command?.log() ?? "";
  }

  async start(): Promise<void> {
    if (this.#command) return;
    this.#command = runCommand(this.#args, {}, "test/truth/server.ts");
    await this.#command.line(/^listening http/);
  }

  stop(): Promise<void> {
    return this.#end("SIGTERM");
  }

  /** For good. */
  async end(): Promise<void> {
    await this.stop();
    await this.#sql.end();
  }

  /** Without a chance to finish anything; and starts it again. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
    await this.start();
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const command = this.#command;
    this.#command = null;
    command?.signal(signal);
    await command?.ended;
  }
}
