/** The server under measurement, in a data directory of its own. */

import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "../test/support/command.ts";

/** @param flags besides those that say where it is */
export async function withServer<T>(homeserver: string, flags: readonly string[], use: (url: string, pid: number) => Promise<T>): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "syncv3-bench-"));
  const profiling = process.env["NODE_OPTIONS"];
  const command = runCommand(
    ["-server", homeserver, "-data", directory, "-port", "127.0.0.1:0", "-loglevel", "warn", ...flags],
    profiling === undefined ? {} : { NODE_OPTIONS: profiling },
  );
  try {
    const url = (await command.line(/^ *listening +http/)).trim().split(/ +/)[1] ?? "";
    return await use(url, command.pid);
  } finally {
    command.signal("SIGTERM");
    process.stderr.write((await command.ended).stderr);
    await rm(directory, { recursive: true, force: true });
  }
}
