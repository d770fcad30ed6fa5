/** Kills parts of a running server again and again while clients follow an account, and counts what they get. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect, type Sql } from "../../src/store/db.ts";
import { runCommand, type RunningCommand } from "../support/command.ts";
import { type FakeHomeserver, startFakeHomeserver } from "../support/fake-homeserver.ts";
import { V3Client } from "../support/v3.ts";
import { threeConsumers } from "./consumers.ts";
import { FAULTS } from "./faults.ts";
import { type ClientReport, Followers } from "./followers.ts";
import { firstAnswer, numbered } from "./traffic.ts";

export type KillLoopOptions = {
  /** One fault each, of each kind in turn. */
  readonly rounds: number;
  /** Responses of the homeserver in a round, and messages (and events) in each. */
  readonly responses: number;
  readonly each: number;
  /** Told of each round. */
  readonly say?: (line: string) => void;
};

export type KillLoopReport = {
  /** How often each struck. */
  readonly faults: Readonly<Record<string, number>>;
  /** To-device messages that the homeserver told, and as many events. */
  readonly sent: number;
  readonly clients: readonly ClientReport[];
  /** From each fault until the last client had all of the round, ms. */
  readonly recoveryMs: readonly number[];
};

const ROOM = "!torture:test";
const ME = "@torture:test";

/** @throws where a client is refused what it may ask, or has not all of a round within a minute; it says what is missing */
export async function killLoop({ rounds, responses, each, say = () => {} }: KillLoopOptions): Promise<KillLoopReport> {
  const homeserver = await startFakeHomeserver();
  const token = homeserver.login(ME, "PHONE");
  homeserver.queueSync(token, firstAnswer(ME, ROOM));
  const server = await Server.start(homeserver);
  const client = new V3Client(() => server.url, ME, "PHONE", token);
  const followers = new Followers((changed) => threeConsumers(client, ROOM, changed));
  let sent = 0;
  const faults: Record<string, number> = {};
  const recoveryMs: number[] = [];
  try {
    await followers.begun();
    const kinds = Object.entries(FAULTS);
    for (let round = 0; round < rounds; round += 1) {
      const [name, strike] = kinds[round % kinds.length] as (typeof kinds)[number];
      const before = sent;
      const at = await strike({
        homeserver,
        token,
        sql: server.sql,
        say: () => {
          for (let i = 0; i < responses; i += 1, sent += each) homeserver.queueSync(token, numbered(ROOM, sent, each));
        },
        told: () => followers.someHave(before),
        // One of the two, which may be the one that polls, or both.
        killWorkers: () => server.killWorkers(Math.floor(round / kinds.length) % 2 === 0 ? 2 : 1),
        killServer: () => server.killAndStart(),
        killDatabase: () => server.killDatabase(),
      });
      await followers.allHave(sent);
      recoveryMs.push(performance.now() - at);
      faults[name] = (faults[name] ?? 0) + 1;
      say(`${round + 1} of ${rounds}: ${name}; all there ${Math.round(recoveryMs.at(-1) ?? 0)} ms later`);
    }
    return { faults, sent, clients: followers.reports(sent), recoveryMs };
  } finally {
    await followers.stop();
    await server.stop();
    await homeserver.stop();
  }
}

/** The command with two workers and its embedded database, at one address as long as it lives. */
export class Server {
  readonly url: string;
  /** A connection past the server. */
  readonly sql: Sql;
  readonly #directory: string;
  readonly #args: readonly string[];
  #command: RunningCommand;

  private constructor(url: string, directory: string, args: readonly string[], command: RunningCommand) {
    this.url = url;
    this.#directory = directory;
    this.#args = args;
    this.#command = command;
    this.sql = connect({ path: join(directory, "run/.s.PGSQL.5432"), username: "syncv3", database: "syncv3" }, 2);
  }

  static async start(homeserver: FakeHomeserver): Promise<Server> {
    const directory = await mkdtemp(join(tmpdir(), "syncv3-torture-"));
    const address = `127.0.0.1:${await freePort()}`;
    const args = ["-server", homeserver.url, "-data", directory, "-port", address, "-workers", "2", "-loglevel", "warn"];
    return new Server(`http://${address}`, directory, args, await listening(args));
  }

  /** Kills `count` of the workers; the others and what starts them anew stay. */
  async killWorkers(count: number): Promise<void> {
    const pids = await childrenOf(this.#command.pid);
    const workers = (await Promise.all(pids.map(async (pid) => ({ pid, is: await isNode(pid) })))).filter((one) => one.is);
    for (const { pid } of workers.slice(0, count)) process.kill(pid, "SIGKILL");
  }

  async killAndStart(): Promise<void> {
    for (const pid of [this.#command.pid, ...(await childrenOf(this.#command.pid))]) process.kill(pid, "SIGKILL");
    await this.#command.ended;
    this.#command = await listening(this.#args);
  }

  async killDatabase(): Promise<void> {
    const [pid] = (await readFile(join(this.#directory, "postgresql/postmaster.pid"), "utf8")).split("\n");
    process.kill(Number(pid), "SIGKILL");
  }

  async stop(): Promise<void> {
    await this.sql.end({ timeout: 1 });
    this.#command.signal("SIGTERM");
    await this.#command.ended;
    await rm(this.#directory, { recursive: true, force: true });
  }
}

async function listening(args: readonly string[]): Promise<RunningCommand> {
  const command = runCommand(args);
  await command.line(/^ *listening +http/);
  return command;
}

async function childrenOf(pid: number): Promise<number[]> {
  return (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).trim().split(" ").filter(Boolean).map(Number);
}

async function isNode(pid: number): Promise<boolean> {
  return (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0")[0]?.endsWith("node") ?? false;
}

/** A port of loopback that was free a moment ago. */
async function freePort(): Promise<number> {
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen(0, "127.0.0.1", resolve));
  const { port } = holder.address() as AddressInfo;
  await new Promise<void>((resolve) => holder.close(() => resolve()));
  return port;
}
