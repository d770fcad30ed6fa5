/** Serves `GET /metrics` on a separate address, because metrics are for the operator only. */

import { METRICS_TYPE } from "../base/metrics.ts";
import type { ListenAddress } from "../config/listen-address.ts";
import { listenAt, type OwnListener } from "../server/own-listener.ts";

const PATH = "/metrics";

/** @throws the error of `listen` */
export function startMetrics(address: ListenAddress, metrics: { text(): Promise<string> }): Promise<OwnListener> {
  return listenAt(address, PATH, (request, response) => {
    const isAsked = request.method === "GET" && request.url?.split("?", 1)[0] === PATH;
    if (!isAsked) {
      response.writeHead(404).end("GET /metrics\n");
      return;
    }
    metrics.text().then(
      (text) => response.writeHead(200, { "content-type": METRICS_TYPE }).end(text),
      (error: unknown) => response.writeHead(503).end(`${error instanceof Error ? error.message : String(error)}\n`),
    );
  });
}
