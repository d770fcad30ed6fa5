/**
 * Several processes that serve at one address (`-workers N`), all alike: the first process prepares the database and listens, each worker
 * serves what it is handed. Which worker a request comes to makes no difference. One that dies is replaced; what it polled, another
 * takes over.
 */

import cluster, { type Worker } from "node:cluster";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "../base/logger.ts";
import type { Settings } from "../config/options.ts";
import type { DbOptions } from "../store/db.ts";

/** What a worker needs to know. It goes over the channel between the two, so that no secret is seen in a list of processes. */
export type WorkerOrder = {
  readonly settings: Settings;
  readonly homeserver: string;
  readonly db: DbOptions;
  readonly direct: DbOptions | null;
  readonly secret: string;
  readonly version: string;
};

/** Where a worker listens; `page`: where it shows the page, null: nowhere. */
type Places = { readonly url: string; readonly page: string | null };

/** What a worker says: that it can be told, where it listens, or why it cannot. */
export type WorkerWord =
  | { readonly syncv3: "here" }
  | ({ readonly syncv3: "listening" } & Places)
  | { readonly syncv3: "failed"; readonly message: string; readonly error: { readonly code?: string; readonly syscall?: string } };

/** A worker that ended is replaced after so long, ms: longer each time, where it ended soon, up to one of the two. */
const REPLACE_MS = 200;
const MAX_REPLACE_MS = { listened: 1000, never: 30_000 };
/** After so long a worker has served well, ms. */
const SETTLED_MS = 10_000;

export type Workers = Places & {
  /** Ends them all in good order. */
  close(): Promise<void>;
};

/** Resolves when all of them listen. @throws what kept one of them from it */
export async function startWorkers(order: WorkerOrder, count: number, logger: Logger): Promise<Workers> {
  // Each takes its own connections, from the socket that all have: what is handed to a worker that dies just then would hang for good.
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  const running = new Set<Worker>();
  const closing = new AbortController();
  /** Where it listens. */
  const start = (afterMs: number): Promise<Places> => {
    const worker = cluster.fork();
    const startedAt = performance.now();
    const listens = listening(worker, order);
    let most = MAX_REPLACE_MS.never;
    listens.then(
      () => (most = MAX_REPLACE_MS.listened),
      () => {},
    );
    running.add(worker);
    worker.once("exit", (code: number | null, signal: string | null) => {
      running.delete(worker);
      if (!isUp || closing.signal.aborted) return;
      logger.error({ worker: worker.process.pid, code, signal }, "A worker has ended; it is replaced");
      void replace(performance.now() - startedAt > SETTLED_MS ? REPLACE_MS : Math.min(most, afterMs * 2));
    });
    return listens;
  };
  const replace = async (afterMs: number): Promise<void> => {
    await delay(afterMs, undefined, { signal: closing.signal }).catch(() => {});
    if (closing.signal.aborted) return;
    // Where it cannot listen it ends, and is replaced in its turn.
    await start(afterMs).catch((error: unknown) => logger.error({ err: error }, "A worker could not begin"));
  };
  const close = async (): Promise<void> => {
    closing.abort();
    await Promise.all([...running].map(end));
  };
  let isUp = false;
  try {
    const [places] = await Promise.all(Array.from({ length: count }, () => start(REPLACE_MS)));
    isUp = true;
    return { url: places?.url ?? "", page: places?.page ?? null, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Tells a worker what to do; resolves when it listens. */
function listening(worker: Worker, order: WorkerOrder): Promise<Places> {
  return new Promise((resolve, reject) => {
    worker.on("message", (word: WorkerWord) => {
      if (word.syncv3 === "here") worker.send(order);
      if (word.syncv3 === "listening") resolve(word);
      if (word.syncv3 === "failed") reject(Object.assign(new Error(word.message), word.error));
    });
    worker.once("exit", (code, signal) => reject(new Error(`a worker ended before it listened (${signal ?? code})`)));
  });
}

async function end(worker: Worker): Promise<void> {
  if (worker.isDead()) return;
  const ended = new Promise((resolve) => worker.once("exit", resolve));
  worker.process.kill("SIGTERM");
  await ended;
}

/** In a worker: what it is to do. */
export function receiveOrder(): Promise<WorkerOrder> {
  return new Promise((resolve) => {
    const hear = (message: WorkerOrder | object): void => {
      // Metrics may be asked for before.
      if (!("homeserver" in message)) return;
      process.off("message", hear);
      resolve(message);
    };
    process.on("message", hear);
    void tellParent({ syncv3: "here" });
  });
}

/** In a worker. Resolves when it is said. */
export function tellParent(word: WorkerWord): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send?.(word, () => resolve());
    else resolve();
  });
}
