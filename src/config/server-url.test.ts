import { createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { expect, onTestFinished, test } from "vitest";

import { BadUrl, parseBaseUrl } from "./base-url.ts";
import { BadServer, resolveServer, type FetchJson } from "./server-url.ts";

const VERSIONS = { status: 200, body: { versions: ["v1.1"] } };

/** Answers with these pages; all other URLs refuse connections. */
function world(pages: Record<string, Awaited<ReturnType<FetchJson>>>): FetchJson {
  return async (url) => {
    const page = pages[url];
    if (page === undefined) throw new Error("connect ECONNREFUSED");
    return page;
  };
}

test("a base URL is used without its trailing slashes", async () => {
  const fetchJson = world({ "https://hs.example.org/base/_matrix/client/versions": VERSIONS });
  expect((await resolveServer("https://hs.example.org/base//", undefined, fetchJson)).href).toBe("https://hs.example.org/base");
});

test("a server name is resolved with its well-known file, or used as it is without one", async () => {
  const pages = {
    "https://example.org/.well-known/matrix/client": { status: 200, body: { "m.homeserver": { base_url: "https://matrix.example.org/" } } },
    "https://matrix.example.org/_matrix/client/versions": VERSIONS,
    "https://other.org:8448/.well-known/matrix/client": { status: 404, body: undefined },
    "https://other.org:8448/_matrix/client/versions": VERSIONS,
  };
  expect((await resolveServer("example.org", undefined, world(pages))).origin).toBe("https://matrix.example.org");
  expect((await resolveServer("other.org:8448", undefined, world(pages))).origin).toBe("https://other.org:8448");
});

test.each([
  ["http://gone", {}, "no homeserver can be reached at http://gone/ (connect ECONNREFUSED)"],
  ["gone.org", {}, "https://gone.org/.well-known/matrix/client cannot be reached"],
  ["x.org", { "https://x.org/.well-known/matrix/client": { status: 500, body: undefined } }, "does not name a homeserver (status 500)"],
  ["x.org", { "https://x.org/.well-known/matrix/client": { status: 200, body: { "m.homeserver": 1 } } }, "does not name a homeserver"],
  ["http://web", { "http://web/_matrix/client/versions": { status: 200, body: undefined } }, "is not a Matrix homeserver"],
  ["http://web", { "http://web/_matrix/client/versions": { status: 404, body: {} } }, "is not a Matrix homeserver"],
  ["not a server", {}, "neither a URL"],
])("%s: a clear message (%#)", async (server, pages, message) => {
  const failure = resolveServer(server, undefined, world(pages));
  await expect(failure).rejects.toThrow(message);
  await expect(failure).rejects.toBeInstanceOf(BadServer);
});

test.each([
  ["ftp://x", '-o: "ftp://x" is not an http or https URL'],
  ["matrix.example.org", '-o: "matrix.example.org" is not an http or https URL'],
  ["https://user:hunter2@:", '-o: "https://:" is not an http or https URL'],
  ["http://user:hunter2@x", '-o: "x" must not contain a user, a query or a fragment'],
  ["http://x/?a=b", '-o: "x" must not contain a user, a query or a fragment'],
  ["http://x/#a", '-o: "x" must not contain a user, a query or a fragment'],
  ["http://x/_matrix/client", "-o: the base URL must end before /_matrix, for example http://x"],
])("%s: no base URL", (text, message) => {
  expect(() => parseBaseUrl(text, "-o")).toThrow(new BadUrl(message));
});

test("over real HTTP, through a redirect; and the message of a refused connection", async () => {
  const server = createServer((request, response) => {
    if (request.url?.startsWith("/base/") === true) response.writeHead(301, { location: "/_matrix/client/versions" }).end();
    else response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(VERSIONS.body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  onTestFinished(() => void server.close());
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  expect((await resolveServer(`${url}/base`)).href).toBe(`${url}/base`);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  await expect(resolveServer(url)).rejects.toThrow("ECONNREFUSED");
});

test("a stop does not wait for the answer", async () => {
  const stopping = new AbortController();
  const never: FetchJson = (_url, signal) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason));
      stopping.abort();
    });
  await expect(resolveServer("http://slow", stopping.signal, never)).rejects.toThrow(BadServer);
});
