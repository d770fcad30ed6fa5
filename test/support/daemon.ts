/** Programs that are no part of this project, started for a test and ended with it. */

import { spawn, spawnSync } from "node:child_process";
import { connect, createServer, type AddressInfo } from "node:net";
import { setTimeout as delay } from "node:timers/promises";

const START_MS = 60_000;

export type Daemon = {
  /** Ends it; resolves when it has ended. */
  stop(signal?: NodeJS.Signals): Promise<void>;
};

/** Starts a program that listens at `port` of this machine; `uid`: as that user. */
export async function startDaemon(file: string, args: readonly string[], port: number, uid?: number): Promise<Daemon> {
  const child = spawn(file, args, { stdio: ["ignore", "ignore", "pipe"], ...(uid !== undefined && { uid }) });
  let errors = "";
  child.stderr.on("data", (chunk: Buffer) => void (errors = (errors + chunk.toString()).slice(-4000)));
  const ended = new Promise<void>((resolve, reject) => child.once("error", reject).once("close", () => resolve()));
  // It must not outlive a test run that ends without stopping it.
  const end = (): boolean => child.kill("SIGKILL");
  process.once("exit", end);
  const stop = async (signal: NodeJS.Signals = "SIGTERM") => {
    child.kill(signal);
    await ended;
    process.off("exit", end);
  };
  for (const deadline = Date.now() + START_MS; !(await listens(port)); await delay(20)) {
    if (child.exitCode === null && Date.now() < deadline) continue;
    await stop("SIGKILL");
    throw new Error(`${file} did not start:\n${errors}`);
  }
  return { stop };
}

function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const done = (is: boolean) => {
      socket.destroy();
      resolve(is);
    };
    socket.once("connect", () => done(true)).once("error", () => done(false));
  });
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/**
 * Whether a program is there that is named like its Debian package. As root on Debian or Ubuntu it is installed where it is missing.
 * `probe`: an argument with which it does nothing.
 */
export function isInstalled(name: string, probe = "--version"): boolean {
  const isThere = (): boolean => spawnSync(name, [probe]).status === 0;
  if (isThere()) return true;
  if (process.getuid?.() !== 0 || spawnSync("apt-get", ["--version"]).status !== 0) return false;
  // Nothing is to run as a service of the machine, and another test may be installing too.
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", RUNLEVEL: "1" };
  const options = ["-qq", "-o", "DPkg::Lock::Timeout=120"];
  spawnSync("apt-get", [...options, "update"], { env });
  spawnSync("apt-get", [...options, "install", "-y", "--no-install-recommends", name], { env });
  return isThere();
}
