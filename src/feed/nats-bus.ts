/**
 * NATS: wake-ups go past PostgreSQL. One subject carries all of one database. Nothing is stored there, and while it is away nothing is
 * kept here: who comes back looks anew.
 */

import { setImmediate, setTimeout as delay } from "node:timers/promises";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { sleep } from "../base/abort.ts";
import type { Logger } from "../base/logger.ts";
import type { Bus, BusEvents } from "./bus.ts";

/** Where NATS is, and as whom. */
export type NatsOptions = {
  /** `host:port`, any of which will do. */
  readonly servers: readonly string[];
  readonly user?: string;
  readonly pass?: string;
  readonly token?: string;
  /** Only over TLS; else where the server asks for it. */
  readonly tls: boolean;
};

/** To get a connection may take so long, ms. */
const CONNECT_MS = 5000;
/** A connection is asked for a sign of life so often, ms; the third that does not come ends it. */
const PING_MS = 10_000;
/** Between two attempts, ms: spread, so that not all processes come back at once. */
const AGAIN_MS = 500;
/** The last texts may take so long, ms. */
const CLOSE_MS = 1000;

/**
 * A connection that hears what others say on `subject`, and may speak there. It does not mend itself.
 * @throws what keeps it from that, in the words of NATS
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
      // It is deaf from now on.
      void connection.close();
    },
  });
  // To speak must be allowed too. An empty text says nothing to anybody.
  connection.publish(subject, "");
  // What the server refuses it says before it answers; we hear of it a turn later.
  const reason = await Promise.race([connection.flush(), connection.closed()]);
  await setImmediate();
  const [error = reason] = refused;
  if (!error && !connection.isClosed()) return connection;
  await connection.close();
  throw error ?? new Error("the connection was closed");
}

/** @throws where a server could not use that subject now: an Error with the reason in the words of NATS */
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

  /** Where NATS is away, it goes on without, and tries again and again. */
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
    // What was sent goes out. What hangs is not waited for.
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
