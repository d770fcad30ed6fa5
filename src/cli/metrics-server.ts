/** `GET /metrics` at an address of its own: what is measured is the operator's alone. */

import { createServer } from "node:http";
import { METRICS_TYPE } from "../base/metrics.ts";
import type { ListenAddress } from "../config/listen-address.ts";
import { removeStaleSocket } from "./stale-socket.ts";

export type MetricsServer = {
  /** Where it listens: a URL, or a socket's path. */
  readonly url: string;
  close(): Promise<void>;
};

/** @throws the error of `listen` */
export async function startMetrics(address: ListenAddress, metrics: { text(): Promise<string> }): Promise<MetricsServer> {
  if ("path" in address) await removeStaleSocket(address.path);
  const server = createServer((request, response) => {
    const isAsked = request.method === "GET" && request.url?.split("?", 1)[0] === "/metrics";
    if (!isAsked) {
      response.writeHead(404).end("GET /metrics\n");
      return;
    }
    metrics.text().then(
      (text) => response.writeHead(200, { "content-type": METRICS_TYPE }).end(text),
      (error: unknown) => response.writeHead(503).end(`${error instanceof Error ? error.message : String(error)}\n`),
    );
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(address, resolve);
  });
  const bound = server.address();
  const host = typeof bound === "object" && bound !== null ? (bound.family === "IPv6" ? `[${bound.address}]` : bound.address) : "";
  return {
    url: typeof bound === "string" || bound === null ? String(bound) : `http://${host}:${bound.port}/metrics`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
