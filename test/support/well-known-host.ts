/** The web server of a domain, whose well-known file tells clients where its Matrix server is. */

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

export class WellKnownHost {
  readonly #server: Server;

  /** `baseUrl`: where the file says that the Matrix server is. */
  constructor(baseUrl: string) {
    const file = JSON.stringify({ "m.homeserver": { base_url: baseUrl } });
    this.#server = createServer((request, response) => {
      const found = request.url === "/.well-known/matrix/client";
      response.writeHead(found ? 200 : 404, { "content-type": "application/json" }).end(found ? file : "{}");
    });
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this;
  }

  async stop(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeAllConnections();
    await closed;
  }
}
