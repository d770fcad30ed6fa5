/** A reverse proxy before a homeserver that writes down what reaches it: the proof of which server answered a client. */

import { Agent, createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream";

export type HomeserverTap = {
  /** Where to send what the homeserver should get. */
  readonly url: string;
  /** Every request so far, oldest first; paths without their query. */
  readonly seen: readonly { method: string; path: string }[];
  stop(): Promise<void>;
};

/** Stands before the homeserver until it is stopped. Bodies stream both ways; whoever goes away first takes the other with it. */
export async function tapHomeserver(homeserverUrl: string): Promise<HomeserverTap> {
  const seen: { method: string; path: string }[] = [];
  const agent = new Agent({ keepAlive: true });
  const server = createServer((incoming, outgoing) => {
    seen.push({ method: incoming.method ?? "", path: (incoming.url ?? "").replace(/\?.*$/s, "") });
    forward(homeserverUrl, agent, incoming, outgoing);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    stop: async () => {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      server.closeAllConnections();
      agent.destroy();
      await closed;
    },
  };
}

function forward(homeserverUrl: string, agent: Agent, incoming: IncomingMessage, outgoing: ServerResponse): void {
  const { method, url, rawHeaders: headers } = incoming;
  const upstream = request(new URL(url ?? "/", homeserverUrl), { method, agent, headers });
  upstream.once("response", (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.rawHeaders);
    // An answer that breaks off breaks off for the client too: pipeline destroys both.
    pipeline(answer, outgoing, () => {});
  });
  // A homeserver that is down is a connection that breaks, as it would be without this proxy.
  upstream.once("error", () => outgoing.destroy());
  outgoing.once("close", () => upstream.destroy());
  pipeline(incoming, upstream, () => {});
}
