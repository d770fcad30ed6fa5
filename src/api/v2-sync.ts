/**
 * GET /sync (v2) of a device that we poll too (D1). Upstream, whoever advances `since` deletes the device's to-device messages, so
 * there are two readers and each would cost the other messages. Here they meet: what the passed answer brings is queued before
 * it is forwarded, and what our poller has brought is in the answer. Every other device's answer streams through untouched.
 * The path's spelling makes no difference: it goes to the homeserver as it is (sync-path.ts).
 */

import { createHash } from "node:crypto";
import type { IncomingHttpHeaders } from "node:http";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { createGunzip, createGzip, gzip } from "node:zlib";
import type { FastifyReply, FastifyRequest } from "fastify";
import { LRUCache } from "lru-cache";
import type { Dispatcher } from "undici";
import { acceptsGzip } from "../base/accepts-gzip.ts";
import type { Feed, Wake } from "../feed/hub.ts";
import type { DeviceNo } from "../wire/ids.ts";
import { badGateway, MatrixError } from "../wire/errors.ts";
import { AnswerMemory, type Holding } from "./answer-memory.ts";
import type { Authenticator, Identity } from "./auth.ts";
import type { Forwarder } from "./pass-through.ts";
import type { PolledDevices } from "./polled-devices.ts";
import type { DeviceRef, PassQueue, PassStart } from "./ports.ts";
import { BODY_HEADERS, clientHeaders } from "./proxy-headers.ts";
import { cutV2Answer } from "./v2-answer.ts";

export type V2SyncDeps = {
  readonly auth: Authenticator;
  readonly forwarder: Forwarder;
  readonly queue: PassQueue;
  readonly polled: PolledDevices;
  readonly feed: Feed;
  /** Bytes of an answer, unpacked. Default 256 MiB. */
  readonly maxBytes?: number;
  /** A client that has not read on for so long is cut off, ms. */
  readonly stallMs: number;
  /** Counts a request among its device's until it is answered. Throws MatrixError 429. */
  readonly count: (request: FastifyRequest, device: DeviceNo) => void;
};

type Asked = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly bytes: Buffer };

const zip = promisify(gzip);
/** Below this, packing costs more than it saves. */
const ZIP_FROM_BYTES = 1024;

export class V2Sync {
  readonly #deps: V2SyncDeps;
  readonly #maxBytes: number;
  readonly #memory = new AnswerMemory();
  /**
   * By device and `since`: the seq that was told together with a next_batch equal to that `since`. Such an answer cannot be told
   * from its retry, so it stays unacknowledged; the next request waits as usual instead of getting the same at once for ever.
   */
  readonly #retold = new LRUCache<string, number>({ max: 10_000 });

  constructor(deps: V2SyncDeps) {
    this.#deps = deps;
    this.#maxBytes = deps.maxBytes ?? 256 * 1024 * 1024;
  }

  async handle(request: FastifyRequest, reply: FastifyReply, signal: AbortSignal): Promise<unknown> {
    const { forwarder, polled } = this.#deps;
    const found = await polled.find(request);
    if (!found) {
      await forwarder.forward(request, reply, { signal });
      return reply;
    }
    // Synapse takes it for a GET, and deletes the messages that its `since` acknowledges: whoever asks gets none of what it would take.
    if (request.method === "HEAD") throw new MatrixError(405, "M_UNRECOGNIZED", "A device that syncs through this server is asked with GET");
    const { token, identity, ref } = found;
    this.#deps.count(request, ref.device);
    const holding = this.#memory.open(ref.device);
    reply.raw.once("close", () => holding.release());
    const since = queryOf(request.raw.url).get("since");
    const answered = await this.#ask(request, ref, since, signal, holding);
    if (!answered) {
      // It has logged out meanwhile: there is nothing here any more that the homeserver's answer could cost it.
      await forwarder.forward(request, reply, { signal });
      return reply;
    }
    const { asked, start } = answered;
    const bytes = asked.status === 200 ? await this.#exchange(request, token, identity, ref, since, start, asked.bytes) : asked.bytes;
    if (asked.status === 401) await this.#noteRefusal(identity, asked.bytes);
    return send(request, reply, asked, bytes, this.#deps.stallMs);
  }

  /**
   * Asks the homeserver, as long as the client wants to wait; at once where something is queued, or as soon as something is. Null: the
   * device is gone.
   */
  async #ask(
    request: FastifyRequest,
    ref: DeviceRef,
    since: string | null,
    signal: AbortSignal,
    holding: Holding,
  ): Promise<{ asked: Asked; start: PassStart } | null> {
    const { forwarder, queue, feed } = this.#deps;
    const url = request.raw.url ?? "/";
    for (;;) {
      const woken = new AbortController();
      let check = (): void => {};
      const unsubscribe = feed.subscribe(ref.account, (wake) => {
        if (concerns(wake, ref.device)) check();
      });
      try {
        const start = await queue.start(ref, since);
        if (!start) return null;
        const retold = this.#retold.get(keyOf(ref, since));
        const hurry = start.waiting && (retold === undefined || (await queue.isWaiting(ref, retold)));
        if (!hurry) {
          check = () => {
            queue.isWaiting(ref, Math.max(start.acknowledged, start.upTo)).then(
              (waiting) => {
                if (waiting) woken.abort();
              },
              (error: unknown) => request.log.warn({ reason: String(error) }, "A waiting v2 sync could not be woken"),
            );
          };
          // What came between the first look and this one.
          check();
        }
        const target = hurry ? withHardlyATimeout(url) : url;
        const headers = { "accept-encoding": "gzip" };
        const response = await forwarder.open(request.raw, { signal: AbortSignal.any([signal, woken.signal]), target, headers });
        check = () => {};
        return { asked: { status: response.statusCode, headers: response.headers, bytes: await this.#read(response, holding) }, start };
      } catch (error) {
        if (signal.aborted || !woken.signal.aborted) throw error;
      } finally {
        unsubscribe();
      }
    }
  }

  /** Commits the answer's messages and puts the client's queue in their place. */
  async #exchange(
    request: FastifyRequest,
    token: string,
    identity: Identity,
    ref: DeviceRef,
    since: string | null,
    start: PassStart,
    bytes: Buffer,
  ): Promise<Buffer> {
    const { auth, queue, feed } = this.#deps;
    const answer = cutV2Answer(bytes);
    if (!answer) {
      request.log.warn({ device: ref.device }, "A v2 sync answer could not be parsed and is passed on unchanged");
      return bytes;
    }
    // Where this fails the client gets an error, asks again with the same since, and nothing is lost.
    const passed = await queue.pass(ref, { start, since, nextBatch: answer.nextBatch, messages: answer.messages });
    // The device has logged out while the homeserver answered: no poller of ours competes, and to note a proof would register it again.
    if (!passed) return bytes;
    await auth.noteProof(token, identity);
    if (since === answer.nextBatch && passed.bodies.length > 0) this.#retold.set(keyOf(ref, since), passed.sentUpTo);
    if (passed.added > 0) feed.publish({ type: "news", account: ref.account, device: ref.device, kinds: new Set(["to_device"]) });
    return answer.withMessages(passed.bodies);
  }

  async #noteRefusal(identity: Identity, bytes: Buffer): Promise<void> {
    type Refusal = { readonly errcode?: unknown; readonly soft_logout?: unknown } | null;
    let body: Refusal;
    try {
      body = JSON.parse(bytes.toString("utf8")) as Refusal;
    } catch {
      return; // not the homeserver's own 401
    }
    if (body?.errcode === "M_UNKNOWN_TOKEN") await this.#deps.auth.noteRefusal(identity.tokenHash, body.soft_logout === true);
  }

  /** The whole body, unpacked. */
  async #read(response: Dispatcher.ResponseData, holding: Holding): Promise<Buffer> {
    const { body } = response;
    const packed = [response.headers["content-encoding"]].flat()[0]?.toLowerCase() === "gzip";
    const gunzip = packed ? createGunzip() : null;
    if (gunzip) body.on("error", (error) => gunzip.destroy(error));
    const chunks: Buffer[] = [];
    let size = 0;
    try {
      for await (const chunk of gunzip ? body.pipe(gunzip) : body) {
        chunks.push(chunk as Buffer);
        size += (chunk as Buffer).length;
        if (size > this.#maxBytes) throw badGateway("The homeserver's answer is too large");
        await holding.grow((chunk as Buffer).length);
      }
    } catch (error) {
      throw badGateway(`The homeserver's answer broke off: ${error instanceof Error ? error.message : String(error)}`);
    } finally {
      gunzip?.destroy();
      body.on("error", () => {}).destroy();
    }
    return Buffer.concat(chunks, size);
  }
}

async function send(request: FastifyRequest, reply: FastifyReply, asked: Asked, bytes: Buffer, stallMs: number): Promise<FastifyReply> {
  reply.code(asked.status).headers(clientHeaders(asked.headers, BODY_HEADERS));
  const isPacked = acceptsGzip(request.headers["accept-encoding"]) && bytes.length >= ZIP_FROM_BYTES;
  if (isPacked) reply.header("content-encoding", "gzip");
  if (bytes.length < STREAM_FROM_BYTES) return reply.send(isPacked ? await zip(bytes) : bytes);
  const paced = Readable.from(piecesOf(bytes, reply, stallMs), { objectMode: false, highWaterMark: PIECE_BYTES });
  if (isPacked) return reply.send(paced.pipe(createGzip()));
  return reply.header("content-length", bytes.length).send(paced);
}

/** From here on an answer is sent piece by piece, as its client reads it. */
const STREAM_FROM_BYTES = 256 * 1024;
const PIECE_BYTES = 64 * 1024;

/** Each piece as it can be sent; where none can for long, the client is cut off: it holds memory that others wait for. */
async function* piecesOf(bytes: Buffer, reply: FastifyReply, stallMs: number): AsyncGenerator<Buffer> {
  const cut = () => {
    reply.log.info({ bytes: bytes.length }, "A client does not read its v2 sync answer; its connection is closed");
    reply.raw.destroy();
  };
  let timer = setTimeout(cut, stallMs);
  reply.raw.once("close", () => clearTimeout(timer));
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
    clearTimeout(timer);
    timer = setTimeout(cut, stallMs);
    yield bytes.subarray(at, at + PIECE_BYTES);
  }
}

function concerns(wake: Wake, device: DeviceNo): boolean {
  if (wake.type !== "news" || (wake.device !== undefined && wake.device !== device)) return false;
  return wake.kinds?.has("to_device") ?? true;
}

function queryOf(url: string | undefined): URLSearchParams {
  return new URLSearchParams(/\?(.*)$/s.exec(url ?? "")?.[1] ?? "");
}

/** ms: the longest wait that counts as none. */
const HARDLY_MS = 50;
let hurries = 0;

/**
 * The same request, answered at once, or nearly; its other parameters keep their bytes. Not with the same few milliseconds each time: Synapse
 * answers what is asked in the same words from a cache for two minutes, with a next_batch from before the messages that we add.
 */
function withHardlyATimeout(url: string): string {
  hurries = (hurries % HARDLY_MS) + 1;
  const [path = "", ...rest] = url.split("?");
  const kept = rest
    .join("?")
    .split("&")
    .filter((pair) => pair !== "" && !new URLSearchParams(pair).has("timeout"));
  return `${path}?${[...kept, `timeout=${hurries}`].join("&")}`;
}

function keyOf(ref: DeviceRef, since: string | null): string {
  return `${ref.device} ${createHash("sha256")
    .update(since ?? "")
    .digest("base64")}`;
}
