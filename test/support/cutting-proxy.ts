/** A way to PostgreSQL that breaks at a chosen message of the server's, in a chosen manner, once. */

import { once } from "node:events";
import { type AddressInfo, connect as connectTo, createServer, type Socket } from "node:net";
import type { DbOptions } from "../../src/store/db.ts";

/**
 * - half: closed in good order, in the middle of the message
 * - reset: by a TCP reset
 * - fatal: PostgreSQL says that an administrator ends the connection (57P01), and closes it
 */
export const MANNERS = ["half", "reset", "fatal"] as const;
export type Manner = (typeof MANNERS)[number];

export type CuttingProxy = {
  readonly options: DbOptions;
  /**
   * Messages of the server since the last `arm`, over all connections. ParameterStatus messages in a row (a dozen in each set-up) count as
   * one: the client does the same with each.
   */
  messages(): number;
  /** From now on counts from 0, and breaks the connection that message number `after` (from 0) comes on, before it. Null: none. */
  arm(after: number | null, manner?: Manner): void;
  /** Whether it broke since the last `arm` with a number. */
  hasCut(): boolean;
  stop(): Promise<void>;
};

/** The type of a message that says how a setting stands. */
const PARAMETER_STATUS = "S".charCodeAt(0);
const FATAL = errorResponse({ S: "FATAL", V: "FATAL", C: "57P01", M: "terminating connection due to administrator command" });

export async function startCuttingProxy(database: DbOptions): Promise<CuttingProxy> {
  const sockets = new Set<Socket>();
  let plan: { readonly after: number; readonly manner: Manner } | null = null;
  let [messages, cuts] = [0, 0];

  const cut = (client: Socket, server: Socket, manner: Manner, next: Buffer): void => {
    plan = null;
    cuts += 1;
    server.destroy();
    if (manner === "reset") client.resetAndDestroy();
    else if (manner === "half") client.end(next.subarray(0, next.length >> 1));
    else client.end(FATAL);
  };
  const join = (client: Socket): void => {
    const server = database.path === undefined ? connectTo(database.port ?? 5432, database.host) : connectTo(database.path);
    let buffer: Buffer = Buffer.alloc(0);
    let before = 0;
    for (const socket of [client, server]) {
      sockets.add(socket);
      socket.on("error", () => {}).on("close", () => sockets.delete(socket));
    }
    client.on("data", (bytes) => void server.write(bytes)).on("close", () => server.destroy());
    server.on("close", () => client.end());
    server.on("data", (bytes) => {
      buffer = Buffer.concat([buffer, bytes]);
      while (buffer.length >= 5 && buffer.length > buffer.readUInt32BE(1)) {
        const message = buffer.subarray(0, buffer.readUInt32BE(1) + 1);
        const type = message[0] ?? 0;
        if (type !== PARAMETER_STATUS || before !== PARAMETER_STATUS) {
          if (plan?.after === messages) return cut(client, server, plan.manner, message);
          messages += 1;
        }
        before = type;
        client.write(message);
        buffer = buffer.subarray(message.length);
      }
    });
  };

  const listener = createServer({ allowHalfOpen: false }, join);
  listener.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { path: _, ...rest } = database;
  return {
    options: { ...rest, host: "127.0.0.1", port: (listener.address() as AddressInfo).port, ssl: false },
    messages: () => messages,
    arm(after, manner = "half") {
      plan = after === null ? null : { after, manner };
      messages = 0;
      if (plan) cuts = 0;
    },
    hasCut: () => cuts > 0,
    async stop() {
      for (const socket of sockets) socket.destroy();
      listener.close();
      await once(listener, "close");
    },
  };
}

/** An ErrorResponse with these fields. */
function errorResponse(fields: Readonly<Record<string, string>>): Buffer {
  const body = Buffer.from(
    `${Object.entries(fields)
      .map(([key, value]) => `${key}${value}\0`)
      .join("")}\0`,
  );
  const head = Buffer.from("E\0\0\0\0");
  head.writeUInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}
