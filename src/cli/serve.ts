/** `syncv3 serve`: from the settings to a server that listens, until told to stop. */

import type { Logger } from "../base/logger.ts";
import { SecretBox } from "../base/secret-box.ts";
import type { Settings } from "../config/options.ts";
import { resolveServer } from "../config/server-url.ts";
import { buildServer } from "./build-server.ts";
import { openDatabase } from "./open-database.ts";
import { keptSecret } from "./secret.ts";

export type ServeInput = {
  readonly settings: Settings;
  readonly version: string;
  readonly logger: Logger;
  /** Told what a person wants to know, line by line. */
  readonly say: (line: string) => void;
  /** Aborted: stop in good order. */
  readonly signal: AbortSignal;
};

/**
 * Serves until `signal` is aborted. What can be wrong with the settings comes out before anything is started.
 * @throws BadUrl, BadServer, BadSecretFile, DatabaseUnusable, DirectoryInUse, ... each with a message for the operator
 */
export async function serve({ settings, version, logger, say, signal }: ServeInput): Promise<void> {
  say(`syncv3 ${version}`);
  const homeserver = await resolveServer(settings.server, signal);
  const secret = await secretOf(settings, logger);
  const database = await openDatabase(settings, logger, say, signal);
  try {
    const parts = { settings, homeserver, sql: database.sql, db: database.options, secretBox: new SecretBox(secret), version, logger };
    const server = await buildServer(parts);
    try {
      const url = await server.listen(settings.listen);
      say(`  homeserver  ${homeserver.href}`);
      say(`  database    ${database.description}`);
      say(`  listening   ${url}`);
      say(`Give Matrix clients this address in place of the homeserver's, or ask it something with a user's access token:`);
      const target = "path" in settings.listen ? `--unix-socket ${url} http://localhost` : url;
      say(`  curl -X POST -H "Authorization: Bearer $TOKEN" -d '{}' ${target}/_matrix/client/v3/sync`);
      const reason = await Promise.race([aborted(signal), database.failed]);
      if (reason instanceof Error) throw reason;
      say("Stopping");
    } finally {
      await server.close();
    }
  } finally {
    await database.close();
  }
}

async function secretOf(settings: Settings, logger: Logger): Promise<string> {
  if (settings.secret !== undefined) return settings.secret;
  const { secret, path, made } = await keptSecret(settings.data);
  if (settings.db !== undefined) {
    const text = `${made ? "Made a secret in" : "Using the secret in"} ${path}. Other machines on this database need the same: give it to all with -secret or SYNCV3_SECRET`;
    logger.warn({ path }, text);
  }
  return secret;
}

function aborted(signal: AbortSignal): Promise<"aborted"> {
  if (signal.aborted) return Promise.resolve("aborted");
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve("aborted"), { once: true }));
}
