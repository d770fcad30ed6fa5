import { once } from "node:events";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, it } from "vitest";
import { HomeserverTap } from "./homeserver-tap.ts";

const server = createServer();
let tap: HomeserverTap;
beforeEach(async () => {
  await once(server.listen(0, "127.0.0.1"), "listening");
  tap = await new HomeserverTap(`http://127.0.0.1:${(server.address() as AddressInfo).port}`).start();
});
afterEach(async () => {
  server.removeAllListeners("request");
  await tap.stop();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

it("notes what goes through, and hands it on as it is", async () => {
  server.on("request", (request, response) => {
    response.writeHead(201, { "x-host": request.headers.host });
    request.pipe(response);
  });
  const answer = await fetch(`${tap.url}/a/b?c=%2Fd`, { method: "PUT", body: "text" });
  expect([answer.status, answer.headers.get("x-host"), await answer.text()]).toEqual([201, new URL(tap.url).host, "text"]);
  expect(tap.requests).toEqual([{ method: "PUT", path: "/a/b", query: new URLSearchParams({ c: "/d" }), status: 201 }]);
});

it("streams, and closes the connection to the server when the client disconnects", async () => {
  const asked = Promise.withResolvers<ServerResponse>();
  server.on("request", (_, response: ServerResponse) => asked.resolve(response.on("error", () => {})));
  const leaving = new AbortController();
  const fetched = fetch(tap.url, { signal: leaving.signal });
  const response = await asked.promise;
  const gone = once(response, "close");
  response.write("part");
  const reader = (await fetched).body?.getReader();
  expect(new TextDecoder().decode((await reader?.read())?.value)).toBe("part");
  leaving.abort();
  await gone;
});

it("closes the connection while there is no server, and continues when there is one", async () => {
  let port = 1;
  const moved = await new HomeserverTap(() => `http://127.0.0.1:${port}`).start();
  await expect(fetch(moved.url)).rejects.toThrow();
  server.on("request", (_, response) => response.end("here"));
  ({ port } = server.address() as AddressInfo);
  expect(await (await fetch(moved.url)).text()).toBe("here");
  expect(moved.requests.map((request) => request.status)).toEqual([undefined, 200]);
  await moved.stop();
});
