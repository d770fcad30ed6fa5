/** Chooses what carries wake-ups between processes: the database or NATS. */

import type { Logger } from "../base/logger.ts";
import type { SecretBox } from "../base/secret-box.ts";
import type { BusAddress } from "../config/bus-url.ts";
import type { Bus } from "../feed/bus.ts";
import { NatsBus, tryNats } from "../feed/nats-bus.ts";
import { PostgresBus } from "../feed/postgres-bus.ts";
import { databaseIdentity } from "../store/database-identity.ts";
import type { DbOptions, Sql } from "../store/db.ts";

/** NATS cannot be used. The message is for the operator. */
export class BusUnusable extends Error {
  override readonly name = "BusUnusable";
}

/** `direct`: the address of the database at which LISTEN works; null: there is none. */
export async function openBus(
  address: BusAddress | undefined,
  { sql, direct, box, logger }: { readonly sql: Sql; readonly direct: DbOptions | null; readonly box: SecretBox; readonly logger: Logger },
): Promise<Bus> {
  if (address) return new NatsBus(address, await subjectOf(sql, box), logger);
  if (!direct) throw new BusUnusable("-bus: through a pooler in transaction mode, wake-ups need NATS or -db-direct. Give one of them");
  return new PostgresBus(direct);
}

/** Checks that NATS can be used now, and returns the subject. @throws BusUnusable */
export async function checkNats(address: BusAddress, sql: Sql, box: SecretBox): Promise<string> {
  const subject = await subjectOf(sql, box);
  try {
    await tryNats(address, subject);
    return subject;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const where = address.servers.join(", ");
    throw new BusUnusable(
      `-bus: cannot use NATS at ${where}: ${reason}. It must be running, and its user must be allowed to publish and subscribe to ${subject}`,
      {
        cause: error,
      },
    );
  }
}

/** One subject per database and secret, so that two installations on one NATS do not receive each other's messages. */
async function subjectOf(sql: Sql, box: SecretBox): Promise<string> {
  return `syncv3.${box.sign(Buffer.from(`wake-ups of ${await databaseIdentity(sql)}`)).toString("hex")}`;
}
