import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { HomeserverClient } from "./client.ts";

let server: Server;
let client: HomeserverClient;
let connections: number;
const never = new AbortController().signal;

beforeEach(async () => {
  connections = 0;
  let asked = 0;
  server = createServer((_request, response) => {
    asked += 1;
    // Errors of every kind, each with a body.
    const status = [500, 429, 404, 401][asked % 4] ?? 500;
    response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ errcode: "M_X", error: "x".repeat(20_000) }));
  });
  server.on("connection", () => (connections += 1));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  client = new HomeserverClient({ baseUrl: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
});
afterEach(async () => {
  await client.close();
  await new Promise((resolve) => server.close(resolve));
});

test("B52: bodies of refused answers are read to their end, so that their connections are used again", async () => {
  for (let i = 0; i < 40; i++) await expect(client.sync("token", { since: "s", timeout: 0, filter: "{}" }, never)).rejects.toThrow(/./);
  expect(connections).toBeLessThanOrEqual(4);
});
