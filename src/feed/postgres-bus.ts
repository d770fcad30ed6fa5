/** LISTEN and NOTIFY: the bus that needs nothing beside the database. */

import { connect, type Db, type DbOptions, type Sql } from "../store/db.ts";
import type { Bus, BusEvents } from "./bus.ts";

const CHANNEL = "syncv3";

/** Many texts are one statement. Nothing is lost with one that a crash of the database takes back: it is not waited for. */
export async function notify(db: Db, texts: readonly string[]): Promise<void> {
  await db`
    select pg_notify(${CHANNEL}, payload), set_config('synchronous_commit', 'off', true) from unnest(${[...texts]}::text[]) as payload`;
}

export class PostgresBus implements Bus {
  readonly #sql: Sql;
  #unlisten: (() => Promise<void>) | null = null;

  /**
   * @param db must lead straight to PostgreSQL: LISTEN means nothing through a transaction pooler. Takes two connections, one for either
   * direction; not those that requests and pollers wait for: a wake-up would wait with them.
   */
  constructor(db: DbOptions) {
    this.#sql = connect(db, 1);
  }

  async start({ received, back }: BusEvents): Promise<void> {
    let isBack = false;
    const onListen = (): void => {
      if (isBack) back();
      isBack = true;
    };
    const listening = await this.#sql.listen(CHANNEL, received, onListen);
    this.#unlisten = () => listening.unlisten();
  }

  send(texts: readonly string[]): Promise<void> {
    return notify(this.#sql, texts);
  }

  async close(): Promise<void> {
    await this.#unlisten?.();
    await this.#sql.end();
  }
}
