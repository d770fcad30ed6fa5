/** A reverse proxy that notes which requests go through it: what a homeserver was asked, or what a client asked. */

import { Agent, createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { pipeline } from "node:stream";

/** `status`: undefined while it is not answered, and for good where the client went away before. */
export type TappedRequest = {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  status?: number;
  /** Whether the answer is M_UNRECOGNIZED: what answers does not have the endpoint. */
  isUnrecognized?: boolean;
};

/** Streams both ways and changes nothing, not even the Host header: what is behind it takes this for its own address. */
export class HomeserverTap {
  readonly #target: () => string;
  readonly #agent = new Agent({ keepAlive: true });
  readonly #server: Server;
  /** All requests so far, oldest first. */
  readonly requests: TappedRequest[] = [];

  /** `target`: base URL, or what tells it, of a server whose address changes. */
  constructor(target: string | (() => string)) {
    this.#target = typeof target === "string" ? () => target : target;
    this.#server = createServer((request, response) => this.#forward(request, response));
  }

  /** Base URL. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve, reject) => this.#server.once("error", reject).listen(0, "127.0.0.1", resolve));
    return this;
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
    this.#agent.destroy();
  }

  #forward(request: IncomingMessage, response: ServerResponse): void {
    const { pathname, searchParams } = new URL(request.url ?? "/", "http://tap");
    const seen: TappedRequest = { method: request.method ?? "", path: pathname, query: searchParams };
    this.requests.push(seen);
    const options = { method: seen.method, path: request.url, headers: request.rawHeaders, agent: this.#agent };
    const onward = httpRequest(this.#target(), options, (answer) => {
      seen.status = answer.statusCode ?? 0;
      response.writeHead(seen.status, answer.rawHeaders);
      if (seen.status === 404 || seen.status === 405)
        answer.once("data", (first: Buffer) => (seen.isUnrecognized = first.includes("M_UNRECOGNIZED")));
      // Whoever breaks off, the other side sees it.
      pipeline(answer, response, () => {});
    });
    // To the client a server that cannot be reached looks like one.
    pipeline(request, onward, (error) => {
      if (error) response.destroy();
    });
    onward.once("error", () => response.destroy());
    response.once("close", () => {
      if (!response.writableFinished) onward.destroy();
    });
  }
}
