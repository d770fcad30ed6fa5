/**
 * A process that asks again and again: keep-alive connections, each with one request at a time. It looks at no answer beyond its length
 * and status, so that as little as possible of the machine goes into it.
 *
 * Told by its parent over IPC what to do (`LoadOrder`), it answers with a `LoadReport` and ends.
 */

import { connect, type Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { connect as connectSecurely } from "node:tls";

export type LoadOrder = {
  /** Of the server: http or https, a host and perhaps a port. */
  readonly url: string;
  readonly path: string;
  readonly token: string;
  /** A body a connection, asked for again and again. */
  readonly bodies: readonly string[];
} & ({ readonly seconds: number } | { /** Answers of each connection. */ readonly times: number });

export type LoadReport = {
  readonly perSecond: number;
  /** Of each answer, ms. */
  readonly latencies: readonly number[];
  /** Of one answer with its head. */
  readonly bytes: number;
  /** This process's processor time in the same span, ms. */
  readonly cpuMs: number;
};

const HEAD_END = Buffer.from("\r\n\r\n");
const CHUNKED_END = Buffer.from("\r\n0\r\n\r\n");

function connection({ protocol, hostname: host, port }: URL): Socket {
  return protocol === "https:"
    ? connectSecurely({ host, servername: host, port: Number(port || 443), ALPNProtocols: ["http/1.1"] }).setNoDelay()
    : connect({ host, port: Number(port || 80), noDelay: true });
}

/** One answer after the other from one connection. */
class Client {
  readonly #request: Buffer;
  readonly #host: URL;
  readonly #onAnswer: (ms: number, bytes: number) => void;

  constructor(order: LoadOrder, body: string, onAnswer: (ms: number, bytes: number) => void) {
    this.#host = new URL(order.url);
    this.#onAnswer = onAnswer;
    const head = [
      `POST ${order.path} HTTP/1.1`,
      `Host: ${this.#host.host}`,
      `Authorization: Bearer ${order.token}`,
      "Content-Type: application/json",
      `Content-Length: ${Buffer.byteLength(body)}`,
    ];
    this.#request = Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`);
  }

  /** Asks until `isOver`. */
  run(isOver: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      const socket = connection(this.#host);
      let asked = 0;
      let head: Buffer | null = Buffer.alloc(0);
      let left = 0;
      let size = 0;
      let isChunked = false;
      let tail = Buffer.alloc(0);
      const ask = () => {
        [head, left, size, isChunked, tail] = [Buffer.alloc(0), 0, 0, false, Buffer.alloc(0)];
        asked = performance.now();
        socket.write(this.#request);
      };
      const done = () => {
        this.#onAnswer(performance.now() - asked, size);
        if (isOver()) socket.end();
        else ask();
      };
      socket.on(this.#host.protocol === "https:" ? "secureConnect" : "connect", ask);
      socket.on("data", (chunk: Buffer) => {
        size += chunk.length;
        let body = chunk;
        if (head) {
          head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
          const end = head.indexOf(HEAD_END);
          if (end < 0) return;
          const text = head.toString("latin1", 0, end);
          if (!text.startsWith("HTTP/1.1 200"))
            return void socket.destroy(new Error(`the server answers ${text.split("\r\n", 1)[0]}: ${head.toString("utf8", end + 4)}`));
          const length = /\r\ncontent-length: *(\d+)/i.exec(text)?.[1];
          isChunked = length === undefined;
          body = head.subarray(end + HEAD_END.length);
          left = Number(length ?? 0);
          head = null;
        }
        if (isChunked) {
          tail = Buffer.concat([tail, body]).subarray(-CHUNKED_END.length);
          if (tail.equals(CHUNKED_END)) done();
          return;
        }
        left -= body.length;
        if (left === 0) done();
      });
      socket.on("error", reject);
      socket.on("close", () => resolve());
    });
  }
}

async function load(order: LoadOrder): Promise<LoadReport> {
  const latencies: number[] = [];
  let bytes = 0;
  const clients = order.bodies.map(
    (body) =>
      new Client(order, body, (ms, size) => {
        latencies.push(ms);
        bytes = size;
      }),
  );
  const started = performance.now();
  const cpu = process.cpuUsage();
  const isOver = () => ("times" in order ? latencies.length >= order.times * clients.length : performance.now() - started > order.seconds * 1000);
  await Promise.all(clients.map((client) => client.run(isOver)));
  const { user, system } = process.cpuUsage(cpu);
  return { perSecond: (latencies.length / (performance.now() - started)) * 1000, latencies, bytes, cpuMs: (user + system) / 1000 };
}

process.once("message", (order: LoadOrder) => {
  void load(order).then(
    (report) => process.send?.(report, () => process.disconnect()),
    (error: unknown) => process.send?.({ error: String(error) }, () => process.disconnect()),
  );
});
