/** Listens on an address separate from the API's, for metrics and the page. */

import { createServer, type RequestListener } from "node:http";
import type { ListenAddress } from "../config/listen-address.ts";
import { removeStaleSocket } from "./stale-socket.ts";

export type OwnListener = {
  /** The URL with the path, or the path of the socket. */
  readonly url: string;
  close(): Promise<void>;
};

/** `path`: appended to the URL that is returned. @throws the error of `listen` */
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
