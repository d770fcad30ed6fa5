/** The default data directory. */

import { homedir } from "node:os";
import { join } from "node:path";

/** `syncv3` in the user's data directory: XDG_DATA_HOME if it is set, otherwise the platform's usual directory. */
export function defaultDataDirectory(env: NodeJS.ProcessEnv, platform: NodeJS.Platform = process.platform, home: string = homedir()): string {
  const xdg = env["XDG_DATA_HOME"];
  if (xdg?.startsWith("/") === true) return join(xdg, "syncv3");
  return platform === "darwin" ? join(home, "Library/Application Support/syncv3") : join(home, ".local/share/syncv3");
}
