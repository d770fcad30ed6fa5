/** One process at a time in a data directory. */

import { rm } from "node:fs/promises";
import { connect, createServer, type Server } from "node:net";

/** The directory is another living process's. */
export class DirectoryInUse extends Error {
  override readonly name = "DirectoryInUse";
}

/** The lock, held. */
export type DirectoryLock = { release(): Promise<void> };

/**
 * Takes the lock that stands for a directory: a Unix socket that its owner listens on.
 * Unlike a pid file it needs no guess about who is alive: the kernel stops listening when the owner dies, however it dies.
 * @throws DirectoryInUse
 */
export async function lockDirectory(socketPath: string): Promise<DirectoryLock> {
  for (let attempt = 0; attempt < 5; attempt++) {
    const server = await listen(socketPath);
    if (server !== undefined) {
      return { release: () => new Promise((resolve) => server.close(() => resolve())) };
    }
    if (await answers(socketPath)) {
      throw new DirectoryInUse(`Another syncv3 is running in this data directory (it listens on ${socketPath})`);
    }
    await rm(socketPath, { force: true });
  }
  throw new DirectoryInUse(`Several processes are trying to take ${socketPath}`);
}

/** The listening server, or undefined where there is such a socket file already. */
function listen(path: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    // Being connected to is all that there is to say.
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
