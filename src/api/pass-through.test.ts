import { once } from "node:events";
import { createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable } from "node:stream";
import { afterEach, expect, test } from "vitest";
import { startApi, type TestApi } from "../../test/support/api.ts";
import type { ServerDeps } from "./http-server.ts";

type Listener = (request: IncomingMessage, response: ServerResponse) => void | Promise<void>;

let upstream: Server | undefined;
let api: TestApi | undefined;
let upstreamHost = "";

afterEach(async () => {
  await api?.stop();
  upstream?.closeAllConnections();
  upstream?.close();
});

/** Our server in front of one that does as it is told. */
async function front(listener: Listener, over: Partial<ServerDeps> = {}, basePath = ""): Promise<TestApi> {
  upstream = createServer((request, response) => void listener(request, response)).listen(0, "127.0.0.1");
  await once(upstream, "listening");
  upstreamHost = `127.0.0.1:${(upstream.address() as AddressInfo).port}`;
  api = await startApi(`http://${upstreamHost}${basePath}`, over);
  return api;
}

async function textOf(stream: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of stream) text += String(chunk);
  return text;
}

test("method, path, query, headers and body arrive as they were sent, and the answer comes back as it is", async () => {
  const seen: unknown[] = [];
  const { fetch } = await front(async (request, response) => {
    seen.push(request.method, request.url, request.headers["content-type"], request.headers["x-own"], await textOf(request));
    response
      .writeHead(418, { "content-type": "text/x", "set-cookie": ["a=1", "b=2"], "access-control-allow-origin": "https://own.example", "x-b": "ü" })
      .end("short and stout");
  });
  const path = "/_matrix/client/v3/rooms/!a:b/state/m.room.topic/1?a=%2F&a=b%20c&access_token=x";
  const answer = await fetch(path, { method: "PUT", body: '{"a":1}', headers: { "content-type": "garbage", "x-own": "1" } });
  expect(seen).toEqual(["PUT", path, "garbage", "1", '{"a":1}']);
  expect([answer.status, await answer.text(), answer.headers.get("content-type")]).toEqual([418, "short and stout", "text/x"]);
  expect(answer.headers.getSetCookie()).toEqual(["a=1", "b=2"]);
  expect(answer.headers.get("access-control-allow-origin")).toBe("https://own.example");
});

test("encoded slashes stay encoded, and a base path is put before", async () => {
  let url: string | undefined;
  const { fetch } = await front(
    (request, response) => {
      url = request.url;
      response.end();
    },
    {},
    "/hs/",
  );
  await fetch("/_matrix/client/v3/directory/room/%23a%2Fb:c");
  expect(url).toBe("/hs/_matrix/client/v3/directory/room/%23a%2Fb:c");
});

test("the client's address: an incoming X-Forwarded-For counts only from a trusted proxy", async () => {
  const seen: unknown[] = [];
  const listener: Listener = ({ headers }, response) => {
    seen.push([headers["x-forwarded-for"], headers["x-forwarded-host"], headers["x-forwarded-proto"], headers["x-real-ip"]]);
    response.end();
  };
  const headers = {
    "x-forwarded-for": "198.51.100.1",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "matrix.example",
    "x-real-ip": "198.51.100.1",
  };
  const untrusting = await front(listener);
  await untrusting.fetch("/_matrix/x", { headers });
  const trusting = await startApi(`http://${upstreamHost}`, { trustedProxies: ["127.0.0.0/8"] });
  await trusting.fetch("/_matrix/x", { headers });
  await trusting.stop();
  expect(seen).toEqual([
    ["127.0.0.1", new URL(untrusting.url).host, "http", undefined],
    ["198.51.100.1, 127.0.0.1", "matrix.example", "https", undefined],
  ]);
});

test("hop-by-hop headers end here, and the homeserver gets its own host", async () => {
  let seen: IncomingMessage["headers"] = {};
  const { url } = await front((request, response) => {
    seen = request.headers;
    response.writeHead(200, { connection: "keep-alive, x-hop", "x-hop": "1", "x-end": "1", "proxy-authenticate": "x" }).end();
  });
  const { hostname, port } = new URL(url);
  const headers = {
    connection: "close, x-secret",
    "x-secret": "1",
    "proxy-authorization": "x",
    te: "trailers",
    expect: "100-continue",
    "x-end": "1",
  };
  const [answer] = (await once(httpRequest({ hostname, port, path: "/_matrix/x", headers, method: "POST" }).end("body"), "response")) as [
    IncomingMessage,
  ];
  answer.resume();
  expect(seen).toMatchObject({ "x-end": "1", host: upstreamHost });
  for (const name of ["x-secret", "proxy-authorization", "te", "expect"]) expect(seen[name], name).toBeUndefined();
  expect(answer.headers["x-end"]).toBe("1");
  expect(answer.headers["x-hop"]).toBeUndefined();
  expect(answer.headers["proxy-authenticate"]).toBeUndefined();
});

test("bodies stream both ways: each part arrives before the next is sent", async () => {
  const { fetch } = await front((request, response) => {
    response.flushHeaders();
    request.pipe(response);
  });
  const parts = new TransformStream<Uint8Array, Uint8Array>();
  const writer = parts.writable.getWriter();
  const answer = fetch("/_matrix/media/v3/upload", { method: "POST", body: parts.readable, duplex: "half" });
  await writer.write(Buffer.from("one"));
  const reader = (await answer).body?.getReader();
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe("one");
  await writer.write(Buffer.from("two"));
  expect(Buffer.from((await reader?.read())?.value ?? []).toString()).toBe("two");
  await writer.close();
  expect((await reader?.read())?.done).toBe(true);
});

const MIB = 1024 * 1024;

/** 64 MiB, and how much of it is on its way: what was taken of it and has not arrived. */
class Freight {
  #taken = 0;
  #arrived = 0;
  peak = 0;

  async *parts(): AsyncGenerator<Buffer> {
    const part = Buffer.alloc(MIB / 4);
    for (let i = 0; i < 256; i++) {
      this.#taken += part.length;
      this.peak = Math.max(this.peak, this.#taken - this.#arrived);
      yield part;
    }
  }

  /** Takes it in slowly: whoever does not wait for us has many turns to read ahead. Its size. */
  async unload(stream: AsyncIterable<Uint8Array>): Promise<number> {
    for await (const chunk of stream) {
      this.#arrived += chunk.length;
      for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
    }
    return this.#arrived;
  }
}

test("an upload of 64 MiB passes, and no more of it than what lies in buffers is on its way", async () => {
  const freight = new Freight();
  const { fetch } = await front(async (request, response) => void response.end(JSON.stringify(await freight.unload(request))));
  const body = Readable.toWeb(Readable.from(freight.parts(), { highWaterMark: 1 }), { strategy: { highWaterMark: 1 } });
  const answer = await fetch("/_matrix/media/v3/upload", { method: "POST", body, duplex: "half" } as unknown as RequestInit);
  expect(await answer.json()).toBe(64 * MIB);
  expect(freight.peak).toBeLessThan(24 * MIB);
});

test("so does a download", async () => {
  const freight = new Freight();
  const { fetch } = await front((_request, response) => void Readable.from(freight.parts(), { highWaterMark: 1 }).pipe(response));
  const answer = await fetch("/_matrix/client/v1/media/download/a/b");
  expect(await freight.unload(answer.body ?? new ReadableStream())).toBe(64 * MIB);
  expect(freight.peak).toBeLessThan(24 * MIB);
});

test("an answer that comes before the upload is read reaches the client", async () => {
  const { url } = await front((_request, response) => void response.writeHead(413, { connection: "close" }).end('{"errcode":"M_TOO_LARGE"}'));
  const { hostname, port } = new URL(url);
  const upload = httpRequest({ hostname, port, path: "/_matrix/media/v3/upload", method: "POST", headers: { "content-length": 50_000_000 } });
  upload.on("error", () => {});
  upload.write(Buffer.alloc(100_000));
  const [answer] = (await once(upload, "response")) as [IncomingMessage];
  expect([answer.statusCode, await textOf(answer)]).toEqual([413, '{"errcode":"M_TOO_LARGE"}']);
  upload.destroy();
});

test("if the client disconnects, the request to the homeserver ends", async () => {
  const arrived = Promise.withResolvers<IncomingMessage>();
  const gone = Promise.withResolvers<void>();
  const { fetch } = await front((request, response) => {
    response.on("close", () => gone.resolve());
    arrived.resolve(request);
  });
  const controller = new AbortController();
  const answer = fetch("/_matrix/client/v3/sync?timeout=30000", { signal: controller.signal });
  await arrived.promise;
  controller.abort();
  await expect(answer).rejects.toThrow(/abort/i);
  await gone.promise;
});

test("as the client breaks its upload off, so does the upload upstream", async () => {
  const broken = Promise.withResolvers<unknown>();
  const arrived = Promise.withResolvers<void>();
  const { url } = await front((request) => {
    request.on("data", () => arrived.resolve()).on("error", broken.resolve);
  });
  const { hostname, port } = new URL(url);
  const upload = httpRequest({ hostname, port, path: "/_matrix/media/v3/upload", method: "POST", headers: { "content-length": 1000 } });
  upload.on("error", () => {});
  upload.write("some");
  await arrived.promise;
  upload.destroy();
  expect(await broken.promise).toMatchObject({ code: "ECONNRESET" });
});

test("an answer that breaks off upstream is not taken for a complete one", async () => {
  const { fetch } = await front((_request, response) => {
    response.writeHead(200, { "transfer-encoding": "chunked" });
    response.write("half", () => response.destroy());
  });
  const answer = await fetch("/_matrix/x");
  await expect(answer.text()).rejects.toThrow();
});

test("D4: a homeserver that is down is 502 with CORS headers", async () => {
  const { fetch } = await front((_request, response) => void response.destroy());
  const answer = await fetch("/_matrix/client/versions");
  expect(answer.status).toBe(502);
  expect(answer.headers.get("access-control-allow-origin")).toBe("*");
  expect(await answer.json()).toMatchObject({ errcode: "M_UNKNOWN", error: expect.stringMatching(/^The homeserver cannot be reached: /) });
});

test("a stopping server answers waiting requests, and ends", async () => {
  const arrived = Promise.withResolvers<void>();
  const { fetch, app } = await front(() => arrived.resolve());
  const answer = fetch("/_matrix/client/v3/sync?timeout=30000");
  await arrived.promise;
  await app.close();
  expect(await (await answer).json()).toMatchObject({ errcode: "M_UNKNOWN", error: "The server is stopping" });
});

test("HEAD and 204 have no body", async () => {
  const { fetch } = await front((request, response) => {
    response.writeHead(request.method === "HEAD" ? 200 : 204, request.method === "HEAD" ? { "content-length": 5 } : {}).end();
  });
  const head = await fetch("/.well-known/matrix/client", { method: "HEAD" });
  expect([head.status, head.headers.get("content-length")]).toEqual([200, "5"]);
  expect((await fetch("/_synapse/client/x", { method: "DELETE" })).status).toBe(204);
});
