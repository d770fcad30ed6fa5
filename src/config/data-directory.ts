/** Where the data directory is when nobody says. */

import { homedir } from "node:os";
import { join } from "node:path";

/** `syncv3` below the user's data home: XDG_DATA_HOME, else the platform's custom. */
export function defaultDataDirectory(env: NodeJS.ProcessEnv, platform: NodeJS.Platform = process.platform, home: string = homedir()): string {
  const xdg = env["XDG_DATA_HOME"];
  if (xdg?.startsWith("/") === true) return join(xdg, "syncv3");
  return platform === "darwin" ? join(home, "Library/Application Support/syncv3") : join(home, ".local/share/syncv3");
}
