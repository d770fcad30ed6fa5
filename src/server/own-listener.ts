/** A listen address of its own, for what is not for the API's: metrics, the page. */

import { createServer, type RequestListener } from "node:http";
import type { ListenAddress } from "../config/listen-address.ts";
import { removeStaleSocket } from "./stale-socket.ts";

export type OwnListener = {
  /** Where it listens: a URL with the path, or a socket's path. */
  readonly url: string;
  close(): Promise<void>;
};

/** `path`: of what is there, for the URL. @throws the error of `listen` */
export async function listenAt(address: ListenAddress, path: string, answer: RequestListener): Promise<OwnListener> {
  if ("path" in address) await removeStaleSocket(address.path);
  const server = createServer(answer);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(address, resolve);
  });
  const bound = server.address();
  const host = typeof bound === "object" && bound !== null ? (bound.family === "IPv6" ? `[${bound.address}]` : bound.address) : "";
  return {
    url: typeof bound === "string" || bound === null ? String(bound) : `http://${host}:${bound.port}${path}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
