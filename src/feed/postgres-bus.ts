/** LISTEN and NOTIFY: the bus that needs nothing but the database. */

import { sleep } from "../base/abort.ts";
import { connect, type Db, type DbOptions, type Sql } from "../store/db.ts";
import type { Bus, BusEvents } from "./bus.ts";

const CHANNEL = "syncv3";
/** Pause after a failed LISTEN, ms. */
const RETRY_MS = 100;

/** Many texts share one statement. It does not wait for the disk: if a crash of the database undoes it, nothing is lost. */
export async function notify(db: Db, texts: readonly string[]): Promise<void> {
  await db`
    select pg_notify(${CHANNEL}, payload), set_config('synchronous_commit', 'off', true) from unnest(${[...texts]}::text[]) as payload`;
}

export class PostgresBus implements Bus {
  readonly #db: DbOptions;
  readonly #sql: Sql;
  readonly #closing = new AbortController();
  #listening: Sql | null = null;
  /** Called when the listening connection is gone. */
  #lost: () => void = () => {};

  /**
   * @param db must lead straight to PostgreSQL: LISTEN means nothing through a transaction pooler. Takes two connections, one for each
   * direction, apart from those that requests and pollers wait for, so that wake-ups do not wait with them.
   */
  constructor(db: DbOptions) {
    this.#db = db;
    this.#sql = connect(db, 1);
  }

  start({ received, back }: BusEvents): Promise<void> {
    const lasting = { ...this.#db, max_lifetime: null, idle_timeout: null };
    const sql = connect(lasting, 1, { onclose: () => this.#lost(), onnotify: (_, payload) => received(payload) });
    this.#listening = sql;
    return new Promise((tried) => void this.#keepListening(sql, tried, back));
  }

  send(texts: readonly string[]): Promise<void> {
    return notify(this.#sql, texts);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#lost();
    await Promise.all([this.#listening?.end({ timeout: 1 }), this.#sql.end({ timeout: 1 })]);
  }

  /** Never rejects. `tried` is called after each attempt; `back` when it listens after a time in which it did not. */
  async #keepListening(sql: Sql, tried: () => void, back: () => void): Promise<void> {
    const { signal } = this.#closing;
    for (let isFirst = true; !signal.aborted; isFirst = false) {
      // Set before the attempt: the connection may break at once.
      const lost = new Promise<void>((resolve) => (this.#lost = resolve));
      try {
        await sql`listen ${sql(CHANNEL)}`;
        if (!isFirst) back();
        tried();
        await lost;
      } catch {
        // Retry whatever the reason, because wake-ups depend on it: also a cancelled LISTEN, not only one that met a restart.
        tried();
        await sleep(RETRY_MS, signal).catch(() => {});
      }
    }
  }
}
