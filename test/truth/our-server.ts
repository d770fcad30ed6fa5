/** The server under test, as a process of its own that can be stopped, killed and started again at the same address. */

import { runCommand, type RunningCommand } from "../support/command.ts";
import { freePort } from "../support/daemon.ts";

export class OurServer {
  readonly #args: readonly string[];
  readonly url: string;
  #command: RunningCommand | null = null;

  private constructor(args: readonly string[], url: string) {
    this.#args = args;
    this.url = url;
  }

  /** `dsn`: an existing database. */
  static async start(homeserver: string, dsn: string): Promise<OurServer> {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const args = ["-server", homeserver, "-db", dsn, "-secret", "a secret of the truth test", "-port", `127.0.0.1:${port}`];
    const server = new OurServer([...args, "-public-url", url, "-loglevel", "error"], url);
    await server.start();
    return server;
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
    this.#command = runCommand(this.#args);
    await this.#command.line(/^ *listening +http/);
  }

  stop(): Promise<void> {
    return this.#end("SIGTERM");
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
