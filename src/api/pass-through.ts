/**
 * Passes requests that are not ours to the homeserver and back, streaming both ways, without a size limit.
 *
 * Uses undici directly, not @fastify/http-proxy, which streams as well: v2-sync.ts sends a changed request and reads its answer, logout-hooks.ts
 * needs the status before the client gets it and a copy of the request body, a stopping server answers waiting requests, and that package passes on
 * any client's X-Forwarded-For. Little of it would be used as it is.
 */

import type { IncomingMessage, OutgoingHttpHeaders } from "node:http";
import { PassThrough, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { FastifyReply, FastifyRequest } from "fastify";
import { Agent, type Dispatcher } from "undici";
import { badGateway, invalidParam, MatrixError } from "../wire/errors.ts";
import { editableRequest, editAnswer, type Edit, type ReadLimits } from "./json-answer.ts";
import { clientHeaders, upstreamHeaders } from "./proxy-headers.ts";
import type { IsTrusted } from "./trusted-proxies.ts";

/** Longer than any long poll or large first sync; the client decides when to give up. */
const SILENCE_MS = 900_000;

export type ForwarderOptions = {
  /** Base URL of the homeserver. */
  readonly baseUrl: string;
  readonly isTrusted: IsTrusted;
};

/** Differences from the client's own request. */
export type OpenOptions = {
  readonly signal: AbortSignal;
  readonly method?: "GET";
  /** Path and query; default: the client's, byte for byte. */
  readonly target?: string;
  /** Headers to replace or add; null: to drop. Names in lower case. */
  readonly headers?: Readonly<Record<string, string | null>>;
};

/** Differences from passing request and answer on unchanged. */
export type ForwardOptions = {
  readonly signal: AbortSignal;
  /** Path and query; default: the client's, byte for byte. */
  readonly target?: string;
  /** `onAnswer` is called when the status is known, before the client gets it, with up to `capture` bytes of the request body. */
  readonly capture?: number;
  readonly onAnswer?: (status: number, body: Buffer) => Promise<void>;
  /** An answer of status 200 is read in full and edited. All others are streamed. */
  readonly edit?: Edit;
  /** Larger answers are not edited. Default: those of json-answer.ts. */
  readonly editLimits?: ReadLimits;
  /** Headers to add if the answer has none with that name; names in lower case. */
  readonly added?: Readonly<Record<string, string>>;
};

export class Forwarder {
  readonly #origin: string;
  readonly #basePath: string;
  readonly #isTrusted: IsTrusted;
  readonly #closing = new AbortController();
  // No limit of connections, since each request may be a long poll.
  readonly #agent = new Agent({ connect: { timeout: 10_000 }, headersTimeout: SILENCE_MS, bodyTimeout: SILENCE_MS, keepAliveTimeout: 4000 });

  constructor(options: ForwarderOptions) {
    const url = new URL(options.baseUrl);
    this.#origin = url.origin;
    this.#basePath = url.pathname.replace(/\/+$/, "");
    this.#isTrusted = options.isTrusted;
  }

  /** Sends the request on and streams the answer back. Throws MatrixError 502 as long as nothing has been answered. */
  async forward(request: FastifyRequest, reply: FastifyReply, options: ForwardOptions): Promise<void> {
    const upload = uploadOf(request.raw, options.capture ?? 0);
    const { signal, target } = options;
    const asked = { signal, ...(target !== undefined && { target }), ...(options.edit && editableRequest(request.raw)) };
    const answer = await this.#open(request.raw, asked, upload?.stream ?? null);
    try {
      await options.onAnswer?.(answer.statusCode, upload?.captured() ?? Buffer.alloc(0));
      const isEdited = options.edit !== undefined && answer.statusCode === 200;
      const { headers, body } = isEdited
        ? await editAnswer(answer, options.edit, options.editLimits)
        : { headers: clientHeaders(answer.headers), body: answer.body };
      await this.#send(reply, answer.statusCode, { ...options.added, ...headers }, body);
    } catch (error) {
      answer.body.on("error", () => {}).destroy();
      throw error;
    }
  }

  /** Sends a request without a body on. The caller must read or destroy the answer's body. Throws MatrixError 502. */
  open(request: IncomingMessage, options: OpenOptions): Promise<Dispatcher.ResponseData> {
    return this.#open(request, options, null);
  }

  /** Ends requests that wait for the homeserver. Answers that have begun are finished. */
  stopWaiting(): void {
    this.#closing.abort(badGateway("The server is stopping"));
  }

  async close(): Promise<void> {
    this.stopWaiting();
    await this.#agent.destroy();
  }

  async #open(request: IncomingMessage, options: OpenOptions, body: Readable | null): Promise<Dispatcher.ResponseData> {
    const changed = options.headers ?? {};
    const drop = new Set([...Object.keys(changed), ...(body ? [] : ["content-length"])]);
    const own = Object.entries(changed).flatMap(([name, value]) => (value === null ? [] : [name, value]));
    const headers = [...upstreamHeaders(request, this.#isTrusted(request.socket.remoteAddress), drop), ...own];
    // Until the answer's head arrives, the end of the process ends the request too; afterwards only the client does.
    const controller = new AbortController();
    const onGone = () => controller.abort(options.signal.reason);
    const onClosing = () => controller.abort(this.#closing.signal.reason);
    options.signal.addEventListener("abort", onGone, { once: true });
    this.#closing.signal.addEventListener("abort", onClosing, { once: true });
    if (options.signal.aborted) onGone();
    if (this.#closing.signal.aborted) onClosing();
    try {
      return await this.#agent.request({
        origin: this.#origin,
        path: this.#basePath + (options.target ?? request.url ?? "/"),
        method: options.method ?? request.method ?? "GET",
        headers,
        body,
        signal: controller.signal,
      });
    } catch (error) {
      body?.destroy();
      throw asMatrixError(error);
    } finally {
      this.#closing.signal.removeEventListener("abort", onClosing);
    }
  }

  async #send(reply: FastifyReply, status: number, headers: OutgoingHttpHeaders, body: Readable): Promise<void> {
    reply.hijack();
    try {
      reply.raw.writeHead(status, headers);
      await pipeline(body, reply.raw);
    } catch (error) {
      // The head is sent already, so breaking the connection is the only way to say that the rest is missing.
      reply.raw.destroy();
      reply.log.debug({ reason: String(error) }, "An answer that was passed on was cut short");
    }
  }
}

type Upload = { readonly stream: Readable; captured(): Buffer };

/** The client's body; null: it has none. A PassThrough protects the client's connection from undici dropping the body early. */
function uploadOf(request: IncomingMessage, capture: number): Upload | null {
  const hasBody = request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0;
  if (!hasBody || request.method === "GET" || request.method === "HEAD") return null;
  const stream = new PassThrough();
  const chunks: Buffer[] = [];
  let size = 0;
  if (capture > 0) {
    request.on("data", (chunk: Buffer) => {
      size += chunk.length;
      if (size <= capture) chunks.push(chunk);
    });
  }
  const onBroken = () => {
    if (!request.readableEnded) stream.destroy(new Error("the client broke its upload off"));
  };
  stream.on("error", () => request.unpipe(stream));
  request.on("error", onBroken).on("close", onBroken).pipe(stream);
  return { stream, captured: () => (size <= capture ? Buffer.concat(chunks) : Buffer.alloc(0)) };
}

function asMatrixError(error: unknown): MatrixError {
  if (error instanceof MatrixError) return error;
  const code = error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : null;
  if (code === "UND_ERR_INVALID_ARG") return invalidParam("The request cannot be passed on");
  const text = error instanceof Error ? error.message : String(error);
  return badGateway(`The homeserver cannot be reached: ${code !== null && !text.includes(code) ? `${text} (${code})` : text}`);
}
