/** After a command has ended sessions, notifies the running servers, so that requests waiting there are answered at once (T18). */

import { SecretBox } from "../base/secret-box.ts";
import { notify } from "../feed/postgres-bus.ts";
import type { Sql } from "../store/db.ts";
import { openBus } from "../server/open-bus.ts";
import { keptSecret } from "./secret.ts";
import type { Maintenance } from "./maintenance.ts";

/** The sender of a command's texts. No server has this name, so every server accepts them. */
export const COMMAND_NAME = "syncv3 command";

/**
 * Sends texts (wakeText, wordText) the way the servers send wake-ups: over PostgreSQL, or NATS with `-bus`. Call it after the commit.
 * A failure is only reported to the operator: the deletion is committed, and waiting requests end at their timeouts.
 */
export async function announce({ settings, logger, say }: Maintenance, sql: Sql, texts: readonly string[]): Promise<void> {
  try {
    if (!settings.bus) return await notify(sql, texts);
    const box = new SecretBox(settings.secret ?? (await keptSecret(settings.data)).secret);
    const bus = await openBus(settings.bus, { sql, direct: null, box, logger });
    try {
      await bus.start({ received: () => {}, back: () => {} });
      await bus.send(texts);
    } finally {
      await bus.close();
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    say(`Running servers could not be notified (${reason}). Requests that are waiting there end only at their timeouts`);
  }
}
