/** `syncv3 rotate-secret`: from one secret to another, without a user having to do anything. */

import type { Logger } from "../base/logger.ts";
import { SecretBox } from "../base/secret-box.ts";
import type { RotateSettings } from "../config/options.ts";
import { endAllSessions } from "../store/sessions.ts";
import { anyLease } from "../store/leases.ts";
import { resealTokens } from "../store/tokens.ts";
import { writeTx } from "../store/db.ts";
import { openDatabase } from "./open-database.ts";
import { keptSecret, NextSecret } from "./secret.ts";

/** A server is still running on the database. The message is for the operator. */
export class StillServing extends Error {
  override readonly name = "StillServing";
}

/** The old secret is another one. */
export class WrongSecret extends Error {
  override readonly name = "WrongSecret";
}

/**
 * Seals every access token with the new secret, and ends sessions and connections, whose tokens were signed with the old one: clients begin anew,
 * to-device messages wait for them. All of it or nothing; after a crash, run it again.
 * @throws StillServing, WrongSecret, and what openDatabase and keptSecret throw
 */
export async function rotateSecret(settings: RotateSettings, logger: Logger, say: (line: string) => void, signal: AbortSignal): Promise<void> {
  // Before anything else: it says whether a server has the data directory.
  const database = await openDatabase({ ...settings, workers: 1 }, logger, say, signal);
  try {
    const old = settings.secret ?? (await keptSecret(settings.data)).secret;
    const next = settings.secret === undefined ? await NextSecret.keep(settings.data, settings.newSecret ?? null) : null;
    const secret = next?.secret ?? settings.newSecret ?? "";
    const from = new SecretBox(old);
    const to = new SecretBox(secret);
    const { sealed, unreadable } = await writeTx(database.sql, async (tx) => {
      const lease = await anyLease(tx);
      if (lease !== null)
        throw new StillServing(`A server polls on this database, or was killed a moment ago: stop all of them, and try again in ${lease} s`);
      await endAllSessions(tx);
      const result = await resealTokens(tx, from, to);
      if (result.sealed === 0 && result.unreadable > 0)
        throw new WrongSecret(`None of the ${result.unreadable} stored tokens was encrypted with the old secret that was named: nothing is changed`);
      return result;
    });
    const path = await next?.takePlace();
    say(
      `${sealed} access tokens are encrypted with the new secret${path === undefined ? "" : `, which is in ${path}`}. All sessions have ended: clients begin anew`,
    );
    if (unreadable > 0)
      say(`${unreadable} were encrypted with another one than was named, and are deleted: their devices have to come with them again`);
    if (path === undefined) say("Start all servers with the new secret");
  } finally {
    await database.close();
  }
}
