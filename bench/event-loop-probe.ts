/**
 * Preloaded into the server (`NODE_OPTIONS="--import …/event-loop-probe.ts?socket=PATH"`): how long its event loop stood still, asked for over
 * a socket. Each question begins a new span.
 *
 * A gap is told by the clock, and by the thread's own processor time: the latter does not grow when other processes have the processor.
 */

import { createServer } from "node:http";
import { isMainThread } from "node:worker_threads";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

export type ProbeReport = {
  /** The longest time between two turns of the event loop, ms. */
  readonly gapMs: number;
  /** The most processor time of the thread between two turns, ms. */
  readonly busyMs: number;
  /** After a garbage collection, MB. */
  readonly heapMB: number;
  readonly residentMB: number;
};

/** How often a turn is taken where nothing else wakes the event loop, ms. */
const TICK_MS = 1;
const MB = 1024 * 1024;

function cpuMs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1000;
}

function start(socket: string): void {
  setFlagsFromString("--expose_gc");
  const collect = runInNewContext("gc") as () => void;
  let [gapMs, busyMs] = [0, 0];
  let [at, cpu] = [performance.now(), cpuMs()];
  const tick = (): void => {
    const [now, used] = [performance.now(), cpuMs()];
    gapMs = Math.max(gapMs, now - at - TICK_MS);
    busyMs = Math.max(busyMs, used - cpu);
    [at, cpu] = [now, used];
  };
  setInterval(tick, TICK_MS).unref();
  const server = createServer((_request, response) => {
    tick();
    const told = { gapMs, busyMs };
    collect();
    const { heapUsed, rss, external } = process.memoryUsage();
    const report: ProbeReport = { ...told, heapMB: (heapUsed + external) / MB, residentMB: rss / MB };
    response.end(JSON.stringify(report));
    // The collection itself counts in no span.
    [gapMs, busyMs, at, cpu] = [0, 0, performance.now(), cpuMs()];
  });
  server.listen(socket);
  server.unref();
}

const socket = new URL(import.meta.url).searchParams.get("socket");
if (socket !== null && isMainThread) start(socket);
