/** A real homeserver for tests, the demo and the bench: Synapse on loopback, with SQLite, in a directory of its own. */

import { spawn, type ChildProcess } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import { HomeserverUsers, type HomeserverAddress } from "./synapse-api.ts";
import { synapseFiles } from "./synapse-config.ts";
import { installSynapse } from "./synapse-install.ts";

const CACHE = join(import.meta.dirname, "../../.cache");
const START_TIMEOUT_MS = 60_000;

export type Synapse = HomeserverAddress & {
  readonly users: HomeserverUsers;
  /** Where its data is. */
  readonly directory: string;
  /** Ends it and removes its directory. */
  stop(): Promise<void>;
  /** Ends it (it is unreachable while `between` runs) and starts it again at the same address with the same data. */
  restart(between?: () => Promise<void>): Promise<void>;
  /** Its database as it is now is what `restore` goes back to. Both restart it. */
  backUp(): Promise<void>;
  restore(): Promise<void>;
};

/** `more`: further members of its configuration. */
export type SynapseInput = { readonly serverName?: string; readonly more?: object; readonly say?: (line: string) => void };

/** Installs Synapse if need be, starts it and waits until it answers. */
export async function startSynapse(input: SynapseInput = {}): Promise<Synapse> {
  const serverName = input.serverName ?? "hs.test";
  const python = await installSynapse(input.say ?? (() => {}));
  await mkdir(CACHE, { recursive: true });
  const directory = await mkdtemp(join(CACHE, "synapse-run-"));
  const port = await freePort();
  const address = { url: `http://127.0.0.1:${port}`, serverName, asToken: "puppeteer-token" };
  for (const [name, text] of Object.entries(synapseFiles(directory, serverName, port, address.asToken, input.more))) {
    await writeFile(join(directory, name), text);
  }
  await once(run(python, directory, ["--generate-keys"]));
  let child = await up(python, directory, address.url);
  const down = async (): Promise<void> => {
    child.kill("SIGTERM");
    await once(child);
  };
  const restart = async (between?: () => Promise<void>): Promise<void> => {
    await down();
    await between?.();
    child = await up(python, directory, address.url);
  };
  const [database, backup] = [join(directory, "homeserver.db"), join(directory, "backup.db")];
  return {
    ...address,
    users: new HomeserverUsers(address),
    directory,
    restart,
    backUp: () => restart(() => cp(database, backup)),
    restore: () => restart(() => cp(backup, database)),
    stop: async () => {
      await down();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

function run(python: string, directory: string, args: readonly string[]): ChildProcess {
  const all = ["-m", "synapse.app.homeserver", "-c", join(directory, "homeserver.yaml"), ...args];
  const child = spawn(python, all, { cwd: directory, stdio: "ignore" });
  // It must not outlive a test run that ends without stopping it.
  const end = (): boolean => child.kill("SIGKILL");
  process.once("exit", end);
  child.once("exit", () => process.off("exit", end));
  return child;
}

function once(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  return new Promise((resolve, reject) => child.once("exit", () => resolve()).once("error", reject));
}

async function up(python: string, directory: string, url: string): Promise<ChildProcess> {
  const child = run(python, directory, []);
  const deadline = Date.now() + START_TIMEOUT_MS;
  for (;;) {
    const answered = await fetch(`${url}/_matrix/client/versions`).then(
      (response) => response.ok,
      () => false,
    );
    if (answered) return child;
    if (child.exitCode !== null || Date.now() > deadline) {
      child.kill("SIGKILL");
      const log = await readFile(join(directory, "homeserver.log"), "utf8").catch(() => "(no log)");
      throw new Error(`Synapse did not start:\n${log.slice(-3000)}`);
    }
    await delay(100);
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
