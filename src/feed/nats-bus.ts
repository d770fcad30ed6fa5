/**
 * NATS: wake-ups bypass PostgreSQL. One subject carries all wake-ups of one database. Nothing is stored there, and while NATS is away
 * nothing is stored here either: when it is back, waiting requests evaluate again.
 */

import { setImmediate, setTimeout as delay } from "node:timers/promises";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { sleep } from "../base/abort.ts";
import type { Logger } from "../base/logger.ts";
import type { Bus, BusEvents } from "./bus.ts";

/** The address of NATS, and the credentials. */
export type NatsOptions = {
  /** `host:port`; any of them will do. */
  readonly servers: readonly string[];
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
  /** Only over TLS; otherwise TLS is used if the server requires it. */
  readonly tls: boolean;
};

/** Time limit for connecting, ms. */
const CONNECT_MS = 5000;
/** Interval of pings on a connection, ms; after the third without an answer the connection ends. */
const PING_MS = 10_000;
/** Between two attempts, ms: randomised, so that not all processes reconnect at once. */
const AGAIN_MS = 500;
/** Time limit for sending the last texts, ms. */
const CLOSE_MS = 1000;

/**
 * A connection that is subscribed to `subject` and may publish there. It does not reconnect.
 * @throws what prevents that, in the words of NATS
 */
async function open(options: NatsOptions, subject: string, received: (text: string) => void): Promise<NatsConnection> {
  const { servers, tls, ...credentials } = options;
  const connection = await connect({
    ...credentials,
    ...(tls && { tls: {} }),
    servers: [...servers],
    name: "syncv3",
    noEcho: true,
    reconnect: false,
    timeout: CONNECT_MS,
    pingInterval: PING_MS,
    maxPingOut: 2,
  });
  const refused: Error[] = [];
  const watch = async () => {
    for await (const status of connection.status()) if (status.type === "error") refused.push(status.error);
  };
  void watch();
  connection.subscribe(subject, {
    callback: (error, message) => {
      if (!error) return received(message.string());
      refused.push(error);
      // From now on it receives nothing.
      void connection.close();
    },
  });
  // Publishing must be permitted too. An empty text means nothing to any receiver.
  connection.publish(subject, "");
  // The server reports a refusal before it answers; we get it one turn of the event loop later.
  const reason = await Promise.race([connection.flush(), connection.closed()]);
  await setImmediate();
  const [error = reason] = refused;
  if (!error && !connection.isClosed()) return connection;
  await connection.close();
  throw error ?? new Error("the connection was closed");
}

/** @throws if a server could not use that subject now: an Error with the reason in the words of NATS */
export async function tryNats(options: NatsOptions, subject: string): Promise<void> {
  const connection = await open(options, subject, () => {});
  await connection.close();
}

export class NatsBus implements Bus {
  readonly #options: NatsOptions;
  readonly #subject: string;
  readonly #logger: Logger;
  readonly #closing = new AbortController();
  #connection: NatsConnection | null = null;
  #running: Promise<void> = Promise.resolve();

  constructor(options: NatsOptions, subject: string, logger: Logger) {
    this.#options = options;
    this.#subject = subject;
    this.#logger = logger;
  }

  /** If NATS is away, it starts without it and retries. */
  async start(events: BusEvents): Promise<void> {
    await new Promise<void>((tried) => {
      this.#running = this.#run(events, tried);
    });
  }

  async send(texts: readonly string[]): Promise<void> {
    const connection = this.#connection;
    if (!connection) throw new Error("there is no connection to NATS");
    for (const text of texts) connection.publish(this.#subject, text);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    // Texts that were published are still sent. A connection that hangs is not waited for.
    const ended = Promise.all([this.#connection?.drain(), this.#running]);
    await Promise.race([ended, delay(CLOSE_MS, undefined, { ref: false })]);
  }

  async #run(events: BusEvents, tried: () => void): Promise<void> {
    const { signal } = this.#closing;
    const where = { servers: this.#options.servers, subject: this.#subject };
    for (let [isFirst, isAway] = [true, false]; !signal.aborted; isFirst = false) {
      let reason: string;
      try {
        const connection = await open(this.#options, this.#subject, events.received);
        this.#connection = connection;
        if (isAway) this.#logger.info(where, "NATS is back");
        isAway = false;
        if (!isFirst) events.back();
        tried();
        if (signal.aborted) await connection.close();
        reason = (await connection.closed())?.message ?? "it ended the connection";
      } catch (error) {
        reason = error instanceof Error ? error.message : String(error);
      }
      this.#connection = null;
      if (signal.aborted) break;
      if (!isAway) this.#logger.warn({ ...where, reason }, "NATS is unavailable: no wake-ups from other processes until it is back");
      isAway = true;
      tried();
      await sleep(AGAIN_MS * (1 + Math.random()), signal).catch(() => {});
    }
    tried();
  }
}
