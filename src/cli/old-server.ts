/** Stops a PostgreSQL server that outlived the syncv3 that started it. */

import { spawn } from "node:child_process";
import { readFile, readlink, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

import type { Logger } from "../base/logger.ts";

/** If a fast shutdown takes longer than this, an immediate one follows, ms. */
const PATIENCE_MS = 10_000;
/** Larger than any process ID. */
const NO_SUCH_PID = 2 ** 31 - 2;

/**
 * Stops the server and waits for its end. Only call it while holding the lock of the directory: if the lock was free but a server is still
 * running, its syncv3 was killed. The server is identified by its working directory too, because its PID may now belong to another process.
 */
export async function stopOldServer(cluster: string, socketLock: string, logger: Logger, signal: AbortSignal | undefined): Promise<void> {
  const pidFile = join(cluster, "postmaster.pid");
  const [line = "", ...rest] = (await readFile(pidFile, "utf8").catch(() => "")).split("\n");
  const pid = Number(line);
  if (!Number.isSafeInteger(pid) || pid <= 1) return;
  const started = Date.now();
  for (let stopping = false; await isServerOf(pid, cluster); stopping = true) {
    if (!stopping) {
      logger.warn({ pid }, "Stopping the database server that an earlier run left behind");
      signalTo(pid, "SIGINT");
    }
    if (Date.now() - started > PATIENCE_MS) signalTo(pid, "SIGQUIT");
    await delay(20, undefined, { signal });
  }
  // The PID may still exist: as a zombie that a container's first process never reaps, or as another process. PostgreSQL would wait for it
  // forever. The rest of the file stays: PostgreSQL uses the shared memory named there to notice backends that are still ending.
  const left = await readFile(pidFile, "utf8").catch(() => undefined);
  if (left?.startsWith(`${line}\n`) === true) await writeFile(pidFile, [NO_SUCH_PID, ...rest].join("\n"));
  await rm(socketLock, { force: true });
}

function signalTo(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It has ended meanwhile. The next check notices that.
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
