/** A PostgreSQL server that outlived the syncv3 that had started it. */

import { spawn } from "node:child_process";
import { readFile, readlink, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import type { Logger } from "../base/logger.ts";

/** After this long without a fast shutdown, an immediate one. */
const PATIENCE_MS = 10_000;
/** Above the largest number that a kernel gives a process. */
const NO_SUCH_PID = 2 ** 31 - 2;

/**
 * A server that is still there although the directory's lock was free has outlived its syncv3 (which was killed): it is stopped, and waited for.
 * Only for who holds the directory's lock. That it is one is seen by its working directory, not by its number alone, which may since be another process's.
 */
export async function stopOldServer(cluster: string, socketLock: string, logger: Logger, signal: AbortSignal | undefined): Promise<void> {
  const pidFile = join(cluster, "postmaster.pid");
  const [line = "", ...rest] = (await readFile(pidFile, "utf8").catch(() => "")).split("\n");
  const pid = Number(line);
  if (!Number.isSafeInteger(pid) || pid <= 1) return;
  const started = Date.now();
  for (let stopping = false; await isServerOf(pid, cluster); stopping = true) {
    if (!stopping) {
      logger.warn({ pid }, "Stopping the database that an earlier run left behind");
      signalTo(pid, "SIGINT");
    }
    if (Date.now() - started > PATIENCE_MS) signalTo(pid, "SIGQUIT");
    await delay(20, undefined, { signal });
  }
  // The number may live on: as a zombie that a container's first process never reaps (its parent died with it), or as another process.
  // PostgreSQL would wait for it forever. The rest of the file stays: by the shared memory named there it sees backends that are still leaving.
  const left = await readFile(pidFile, "utf8").catch(() => undefined);
  if (left?.startsWith(`${line}\n`) === true) await writeFile(pidFile, [NO_SUCH_PID, ...rest].join("\n"));
  await rm(socketLock, { force: true });
}

function signalTo(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It ended meanwhile, which is seen next.
  }
}

async function isServerOf(pid: number, cluster: string): Promise<boolean> {
  if (process.platform === "linux") return (await readlink(`/proc/${pid}/cwd`).catch(() => "")) === cluster;
  return new Promise((done) => {
    const ps = spawn("ps", ["-o", "command=", "-p", String(pid)], { stdio: ["ignore", "pipe", "ignore"] });
    let output = "";
    ps.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    ps.once("error", () => done(false)).once("close", () => done(output.includes(cluster)));
  });
}
