/** A Unix socket's file outlives a server that was killed, and nobody can listen there until it is removed. */

import { rm, stat } from "node:fs/promises";
import { connect } from "node:net";

/** Removes the socket at `path` where nobody answers at it any more. Anything else at `path`, and a live server's socket, stay. */
export async function removeStaleSocket(path: string): Promise<void> {
  const found = await stat(path).catch(() => null);
  if (found?.isSocket() === true && !(await answers(path))) await rm(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED"));
  });
}
