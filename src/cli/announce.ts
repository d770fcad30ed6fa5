/** A command that ends sessions says so to the servers that run: requests that wait there are answered at once (T18). */

import { SecretBox } from "../base/secret-box.ts";
import { notify } from "../feed/postgres-bus.ts";
import type { Sql } from "../store/db.ts";
import { openBus } from "../server/open-bus.ts";
import { keptSecret } from "./secret.ts";
import type { Maintenance } from "./maintenance.ts";

/** The name that a command's texts carry: of no server, so that all servers take them. */
export const COMMAND_NAME = "syncv3 command";

/**
 * Sends texts (wakeText, wordText) over what carries the servers' wake-ups: PostgreSQL, or with `-bus` NATS. Call it after the commit.
 * A failure is only said to the operator: what is deleted is deleted, and requests that wait end at their timeouts.
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
    say(`Servers that run could not be told (${reason}): requests that wait there now are answered only after their timeouts`);
  }
}
