/** Removes the file of a Unix socket that a killed server left behind: until then no other server can listen there. */

import { rm, stat } from "node:fs/promises";
import { connect } from "node:net";

/** Removes the socket at `path` if no server answers there. A running server's socket, and anything else at `path`, stay. */
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
