/** Requests and answers of the fake homeserver. */

import type { IncomingMessage, ServerResponse } from "node:http";
import { gzipSync } from "node:zlib";

/** One request as it arrived. `params` are the `:name` parts of the route that answered it. */
export type FakeRequest = {
  readonly method: string;
  /** Decoded only where the route's params are; as sent, without the query. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage["headers"];
  /** Text of the body, "" for none. */
  readonly body: string;
  /** Of the Authorization header (or of ?access_token=). */
  readonly token: string | undefined;
  readonly params: Readonly<Record<string, string>>;
  /** Aborts when the requester goes away. */
  readonly signal: AbortSignal;
  /** What was answered; undefined while it waits. */
  status?: number;
  /** When its last byte was handed to the network, ms of performance.now(). */
  sentAt?: number;
};

/** An answer: `body` as JSON, or as it is where it is a string or Buffer. */
export type FakeReply = {
  readonly status?: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
};

/** What goes wrong instead of, or before, an answer. `cut`: the connection breaks after that many bytes of the body. `dripMs`: the body comes a byte each so many ms. */
export type Fault = FakeReply & { readonly delayMs?: number; readonly cut?: number; readonly dripMs?: number };

/** Which requests: all that is given must match; `path` may be a part of the path or a pattern. */
export type RequestMatch = {
  readonly method?: string;
  readonly path?: string | RegExp;
  readonly token?: string;
  readonly where?: (request: FakeRequest) => boolean;
};

/** Whether a request is of that kind. */
export function matches(request: FakeRequest, match: RequestMatch): boolean {
  if (match.method !== undefined && match.method !== request.method) return false;
  if (match.token !== undefined && match.token !== request.token) return false;
  if (typeof match.path === "string" && !request.path.includes(match.path)) return false;
  if (match.path instanceof RegExp && !match.path.test(request.path)) return false;
  return match.where?.(request) ?? true;
}

/** Sends an answer, zipped where it is large and the requester takes that; a `cut` one breaks off. */
export function send(outgoing: ServerResponse, request: FakeRequest, reply: Fault): void {
  const plain =
    typeof reply.body === "string" || Buffer.isBuffer(reply.body) ? Buffer.from(reply.body) : Buffer.from(JSON.stringify(reply.body ?? {}));
  const zip = /\bgzip\b/.test(request.headers["accept-encoding"] ?? "") && plain.length > 1000 && reply.headers?.["content-encoding"] === undefined;
  const body = zip ? gzipSync(plain) : plain;
  outgoing.writeHead(reply.status ?? 200, {
    "content-type": "application/json",
    ...(zip ? { "content-encoding": "gzip" } : {}),
    "content-length": String(body.length),
    ...reply.headers,
  });
  if (reply.dripMs !== undefined) drip(outgoing, body, reply.dripMs);
  else if (reply.cut === undefined) outgoing.end(body);
  else outgoing.write(body.subarray(0, reply.cut), () => outgoing.socket?.destroy());
}

function drip(outgoing: ServerResponse, body: Buffer, everyMs: number): void {
  let sent = 0;
  const timer = setInterval(() => {
    if (sent < body.length) outgoing.write(body.subarray(sent, (sent += 1)));
    else outgoing.end();
  }, everyMs);
  outgoing.once("close", () => clearInterval(timer));
}
