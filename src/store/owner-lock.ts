/** The session advisory lock that shows other processes that a lease owner is alive; see leases.ts. */

import { connect, type DbOptions, type Sql } from "./db.ts";

export class OwnerLock {
  readonly #owner: string;
  readonly #sql: Sql;

  /** `db` must lead straight to PostgreSQL: through a transaction pooler a session lock means nothing. Takes one connection. */
  constructor(db: DbOptions, owner: string) {
    this.#owner = owner;
    // One connection, never recycled: a new one would begin without the lock. (Not a reserved connection of a pool: those hang once broken.)
    const lasting = { ...db, max_lifetime: null, idle_timeout: null };
    this.#sql = connect(lasting, 1);
  }

  /**
   * Takes the lock, unless this very connection has it already. Call it repeatedly, because the connection may have broken.
   * @throws if it cannot be taken: no connection, or the database has not noticed yet that the previous one broke
   */
  async hold(): Promise<void> {
    const rows = await this.#sql<{ held: boolean }[]>`
      select case when exists (
        select 1 from pg_locks where locktype = 'advisory' and pid = pg_backend_pid() and granted and objsubid = 1
          and ((classid::bigint << 32) | objid::bigint) = hashtextextended(${this.#owner}, 0)
      ) then true else pg_try_advisory_lock(hashtextextended(${this.#owner}, 0)) end as held`;
    if (rows[0]?.held !== true) throw new Error("an old connection of this process still has its lock");
  }

  /** Releases it by closing the connection. */
  async close(): Promise<void> {
    await this.#sql.end({ timeout: 1 });
  }
}
