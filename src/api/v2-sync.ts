/**
 * GET /sync (v2) of a device that is also polled here (D1). At the homeserver, whoever advances `since` deletes the device's to-device messages, so
 * two readers would cost each other messages. Here they are joined: messages in the passed response are queued before it is forwarded, and messages
 * that our poller received are added to it. Responses for all other devices are streamed unchanged. The spelling of the path makes no difference:
 * it is passed on as it is (sync-path.ts).
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
import type { PassStart } from "../wire/passed-answer.ts";
import { AnswerMemory, type Holding } from "./answer-memory.ts";
import type { Authenticator, Identity } from "./auth.ts";
import type { Forwarder } from "./pass-through.ts";
import type { PolledDevice, PolledDevices } from "./polled-devices.ts";
import type { DeviceRef, PassQueue } from "./ports.ts";
import { BODY_HEADERS, clientHeaders } from "./proxy-headers.ts";
import { cutV2Answer } from "./v2-answer.ts";

export type V2SyncDeps = {
  readonly auth: Authenticator;
  readonly forwarder: Forwarder;
  readonly queue: PassQueue;
  readonly polled: PolledDevices;
  readonly feed: Feed;
  /** The largest response, bytes after unpacking. Default 256 MiB. */
  readonly maxBytes?: number;
  /** A client that stops reading is disconnected after this time, ms. */
  readonly stallMs: number;
  /** Counts a request against its device until it is answered. Throws MatrixError 429. */
  readonly count: (request: FastifyRequest, device: DeviceNo) => void;
};

/** `sentAt`: when the request was sent, by performance.now(). */
type V2Reply = { readonly status: number; readonly headers: IncomingHttpHeaders; readonly bytes: Buffer; readonly sentAt: number };

const zip = promisify(gzip);
/** Below this size, compressing costs more than it saves. */
const ZIP_FROM_BYTES = 1024;

export class V2Sync {
  readonly #deps: V2SyncDeps;
  readonly #maxBytes: number;
  readonly #memory = new AnswerMemory();
  /**
   * By device and `since`: the seq that was sent with a next_batch equal to that `since`. Such a response cannot be distinguished from its retry,
   * so its messages stay unacknowledged; the next request waits as usual instead of getting them again at once, over and over.
   */
  readonly #repeatable = new LRUCache<string, number>({ max: 10_000 });

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
    // Synapse takes it for a GET, and deletes the messages that its `since` acknowledges, although the client gets none.
    if (request.method === "HEAD") throw new MatrixError(405, "M_UNRECOGNIZED", "A device that syncs through this server is asked with GET");
    const { identity, ref } = found;
    this.#deps.count(request, ref.device);
    const holding = this.#memory.open(ref.device);
    reply.raw.once("close", () => holding.release());
    const since = queryOf(request.raw.url).get("since");
    const answered = await this.#ask(request, ref, since, signal, holding);
    if (!answered) {
      // It has logged out in the meantime: nothing is stored here that the homeserver's response could delete.
      await forwarder.forward(request, reply, { signal });
      return reply;
    }
    const { asked, start } = answered;
    const bytes = asked.status === 200 ? await this.#exchange(request, found, { since, start, asked }) : asked.bytes;
    if (asked.status === 401) await this.#noteRefusal(identity, asked.bytes);
    return send(request, reply, asked, bytes, this.#deps.stallMs);
  }

  /**
   * Asks the homeserver for as long as the client wants to wait; if messages are queued, or as soon as some are, without waiting. Null: the device
   * is gone.
   */
  async #ask(
    request: FastifyRequest,
    ref: DeviceRef,
    since: string | null,
    signal: AbortSignal,
    holding: Holding,
  ): Promise<{ asked: V2Reply; start: PassStart } | null> {
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
        const repeatable = this.#repeatable.get(keyOf(ref, since));
        const hurry = start.waiting && (repeatable === undefined || (await queue.isWaiting(ref, repeatable)));
        if (!hurry) {
          check = () => {
            queue.isWaiting(ref, Math.max(start.acknowledged, start.upTo)).then(
              (waiting) => {
                if (waiting) woken.abort();
              },
              (error: unknown) => request.log.warn({ reason: String(error) }, "A waiting v2 sync could not be woken"),
            );
          };
          // Messages may have come between the first check and the subscription.
          check();
        }
        const target = hurry ? withHardlyATimeout(url) : url;
        const headers = { "accept-encoding": "gzip" };
        const sentAt = performance.now();
        const response = await forwarder.open(request.raw, { signal: AbortSignal.any([signal, woken.signal]), target, headers });
        check = () => {};
        return { asked: { status: response.statusCode, headers: response.headers, bytes: await this.#read(response, holding), sentAt }, start };
      } catch (error) {
        if (signal.aborted || !woken.signal.aborted) throw error;
      } finally {
        unsubscribe();
      }
    }
  }

  /** Stores the response's messages, and puts the client's queue in their place. */
  async #exchange(
    request: FastifyRequest,
    { token, identity, ref }: PolledDevice,
    { since, start, asked }: { readonly since: string | null; readonly start: PassStart; readonly asked: V2Reply },
  ): Promise<Buffer> {
    const { bytes, sentAt } = asked;
    const { auth, queue, feed } = this.#deps;
    const answer = cutV2Answer(bytes);
    if (!answer) {
      request.log.warn({ device: ref.device }, "A v2 sync answer could not be parsed and is passed on unchanged");
      return bytes;
    }
    // If this fails, the client gets an error and asks again with the same since, so nothing is lost.
    const passed = await queue.pass(ref, { start, since, nextBatch: answer.nextBatch, messages: answer.messages });
    // The device logged out while the homeserver answered. No poller of ours competes, and noting a proof would register it again.
    if (!passed) return bytes;
    await auth.noteProof(token, identity, performance.now() - sentAt);
    if (since === answer.nextBatch && passed.bodies.length > 0) this.#repeatable.set(keyOf(ref, since), passed.sentUpTo);
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

  /** The complete body, unpacked. */
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

async function send(request: FastifyRequest, reply: FastifyReply, asked: V2Reply, bytes: Buffer, stallMs: number): Promise<FastifyReply> {
  reply.code(asked.status).headers(clientHeaders(asked.headers, BODY_HEADERS));
  const isPacked = acceptsGzip(request.headers["accept-encoding"]) && bytes.length >= ZIP_FROM_BYTES;
  if (isPacked) reply.header("content-encoding", "gzip");
  if (bytes.length < STREAM_FROM_BYTES) return reply.send(isPacked ? await zip(bytes) : bytes);
  const paced = Readable.from(piecesOf(bytes, reply, stallMs), { objectMode: false, highWaterMark: PIECE_BYTES });
  if (isPacked) return reply.send(paced.pipe(createGzip()));
  return reply.header("content-length", bytes.length).send(paced);
}

/** Responses from this size on are sent in pieces, as fast as their client reads. */
const STREAM_FROM_BYTES = 256 * 1024;
const PIECE_BYTES = 64 * 1024;

/** Each piece when it can be sent. A client that does not read for long is disconnected, since it holds memory that others wait for. */
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

/** The longest timeout that counts as no wait, ms. */
const HARDLY_MS = 50;
let hurries = 0;

/**
 * The same request with hardly any timeout; its other parameters keep their bytes. The timeout varies, because for two minutes Synapse answers the
 * same request from a cache, with a next_batch from before the messages that we add.
 */
function withHardlyATimeout(url: string): string {
  hurries = (hurries % HARDLY_MS) + 1;
  const [path = "", ...rest] = url.split("?");
  const others = rest
    .join("?")
    .split("&")
    .filter((pair) => pair !== "" && !new URLSearchParams(pair).has("timeout"));
  return `${path}?${[...others, `timeout=${hurries}`].join("&")}`;
}

function keyOf(ref: DeviceRef, since: string | null): string {
  return `${ref.device} ${createHash("sha256")
    .update(since ?? "")
    .digest("base64")}`;
}
