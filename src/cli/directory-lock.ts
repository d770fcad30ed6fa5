/** Lets only one process at a time use a data directory. */

import { rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";

/** Another running process uses the directory. */
export class DirectoryInUse extends Error {
  override readonly name = "DirectoryInUse";
}

/** The lock while it is held. */
export type DirectoryLock = { release(): Promise<void> };

/**
 * Takes the lock of a directory: a Unix socket on which its owner listens. Unlike a PID file, it shows reliably whether the owner is alive:
 * the kernel closes the socket when the owner dies, however it dies.
 * @throws DirectoryInUse
 */
export async function lockDirectory(socketPath: string): Promise<DirectoryLock> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const server = await listen(socketPath);
    if (server !== undefined) {
      return { release: () => new Promise((resolve) => server.close(() => resolve())) };
    }
    if (await answers(socketPath)) {
      throw new DirectoryInUse(`Another syncv3 is running in this data directory (it listens on ${socketPath}). Stop it, or give another -data`);
    }
    await rm(socketPath, { force: true });
  }
  throw new DirectoryInUse(`Several processes are trying to take ${socketPath}. Start only one syncv3 in a data directory`);
}

/** The listening server, or undefined if the socket file already exists. */
function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    // Accepting the connection is the only answer needed.
    const server = createServer((socket) => socket.on("error", () => {}).destroy());
    server.unref();
    server.once("error", (error: NodeJS.ErrnoException) => (error.code === "EADDRINUSE" ? resolve(undefined) : reject(error)));
    server.listen(path, () => resolve(server));
  });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
