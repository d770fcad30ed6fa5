/**
 * Several equal processes that serve one address (`-workers N`). The first process prepares the database and listens; the workers accept and
 * serve connections. Any worker can answer any request. A worker that dies is replaced, and another one takes over its polling.
 */

import cluster, { type Worker } from "node:cluster";
import { setTimeout as delay } from "node:timers/promises";
import type { Logger } from "../base/logger.ts";
import type { Settings } from "../config/options.ts";
import type { DbOptions } from "../store/db.ts";

/** What a worker needs to start. It is sent over a channel, so that the secret does not appear in a list of processes. */
export type WorkerOrder = {
  readonly settings: Settings;
  readonly homeserver: string;
  readonly db: DbOptions;
  readonly direct: DbOptions | null;
  readonly secret: string;
  readonly version: string;
};

/** Where a worker listens. `page`: the URL of the page; null: it is not served. */
type Places = { readonly url: string; readonly page: string | null };

/** A message of a worker: it is ready for its order, it listens, or it failed. */
export type WorkerWord =
  | { readonly syncv3: "here" }
  | ({ readonly syncv3: "listening" } & Places)
  | { readonly syncv3: "failed"; readonly message: string; readonly error: { readonly code?: string; readonly syscall?: string } };

/** The delay before a worker is replaced, ms. It doubles each time a worker ends soon, up to one of the two maxima. */
const REPLACE_MS = 200;
const MAX_REPLACE_MS = { listened: 1000, never: 30_000 };
/** A worker that ran this long has served well, ms. */
const SETTLED_MS = 10_000;

export type Workers = Places & {
  /** Stops all of them cleanly. */
  close(): Promise<void>;
};

/** Resolves when all workers listen. @throws the error of a worker that cannot */
export async function startWorkers(order: WorkerOrder, count: number, logger: Logger): Promise<Workers> {
  // Each worker accepts its own connections from the shared socket. A connection handed to a worker that is just dying would hang forever.
  cluster.schedulingPolicy = cluster.SCHED_NONE;
  const running = new Set<Worker>();
  const closing = new AbortController();
  /** Starts a worker. Resolves with where it listens. */
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
      logger.error({ worker: worker.process.pid, code, signal }, "A worker has ended and will be replaced");
      void replace(performance.now() - startedAt > SETTLED_MS ? REPLACE_MS : Math.min(most, afterMs * 2));
    });
    return listens;
  };
  const replace = async (afterMs: number): Promise<void> => {
    await delay(afterMs, undefined, { signal: closing.signal }).catch(() => {});
    if (closing.signal.aborted) return;
    // A worker that cannot listen ends, and is replaced in turn.
    await start(afterMs).catch((error: unknown) => logger.error({ err: error }, "A worker could not start"));
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

/** Sends a worker its order. Resolves when it listens. */
function listening(worker: Worker, order: WorkerOrder): Promise<Places> {
  return new Promise((resolve, reject) => {
    worker.on("message", (word: WorkerWord) => {
      if (word.syncv3 === "here") worker.send(order);
      if (word.syncv3 === "listening") resolve(word);
      if (word.syncv3 === "failed") reject(Object.assign(new Error(word.message), word.error));
    });
    worker.once("exit", (code, signal) =>
      reject(
        new Error(
          `-workers: a worker ended before it listened (${signal ?? code}). The log above may say why; the system may also have killed it for lack of memory`,
        ),
      ),
    );
  });
}

async function end(worker: Worker): Promise<void> {
  if (worker.isDead()) return;
  const ended = new Promise((resolve) => worker.once("exit", resolve));
  worker.process.kill("SIGTERM");
  await ended;
}

/** In a worker: waits for the order. */
export function receiveOrder(): Promise<WorkerOrder> {
  return new Promise((resolve) => {
    const hear = (message: WorkerOrder | object): void => {
      // A request for metrics may come first.
      if (!("homeserver" in message)) return;
      process.off("message", hear);
      resolve(message);
    };
    process.on("message", hear);
    void tellParent({ syncv3: "here" });
  });
}

/** In a worker: sends a message to the parent. Resolves when it is sent. */
export function tellParent(word: WorkerWord): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send?.(word, () => resolve());
    else resolve();
  });
}
