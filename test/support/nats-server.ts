/** A NATS server of a test's own. */

import { freePort, startDaemon, type Daemon } from "./daemon.ts";

export type TestNats = {
  readonly port: number;
  readonly servers: readonly string[];
  /** Ends it with no chance to say anything. */
  kill(): Promise<void>;
  /** At the same port. */
  start(): Promise<void>;
};

/** `args`: more of nats-server's own, e.g. `--auth TOKEN`. */
export async function startNats(args: readonly string[] = []): Promise<TestNats> {
  const port = await freePort();
  let daemon: Daemon | null = null;
  const nats: TestNats = {
    port,
    servers: [`127.0.0.1:${port}`],
    async kill() {
      await daemon?.stop("SIGKILL");
      daemon = null;
    },
    async start() {
      daemon = await startDaemon("nats-server", ["-a", "127.0.0.1", "-p", String(port), ...args], port);
    },
  };
  await nats.start();
  return nats;
}
