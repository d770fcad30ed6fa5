/** A PostgreSQL of a test's own that is shut down or killed and comes back, with what to ask of it meanwhile. */

import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { type EmbeddedDatabase, startEmbeddedDatabase } from "../../src/cli/embedded-database.ts";
import { connect, type Sql } from "../../src/store/db.ts";

/** Between two attempts to reach a PostgreSQL that is not there yet, ms. */
const RETRY_MS = 5;

/**
 * The signals that end PostgreSQL: those of `pg_ctl restart -m fast` (sessions are ended, then a checkpoint) and of `-m immediate` (no
 * checkpoint, recovery at the next start), and the kill of the postmaster, whose other processes notice that by themselves.
 */
export const ENDS = { fast: "SIGINT", immediate: "SIGQUIT", killed: "SIGKILL" } as const;
export type End = keyof typeof ENDS;

export class RestartingDatabase {
  readonly #directory: string;
  readonly #database: EmbeddedDatabase;

  private constructor(directory: string, database: EmbeddedDatabase) {
    this.#directory = directory;
    this.#database = database;
  }

  static async start(): Promise<RestartingDatabase> {
    const directory = await mkdtemp(join(tmpdir(), "syncv3-restarts-"));
    return new RestartingDatabase(directory, await startEmbeddedDatabase({ directory }));
  }

  /** For `-db`. */
  get dsn(): string {
    return this.#database.dsn;
  }

  /** Ends the server that runs now. It is started again as soon as it has ended (startEmbeddedDatabase sees to that). */
  async end(how: End): Promise<void> {
    const [pid] = (await readFile(join(this.#directory, "postgresql/postmaster.pid"), "utf8")).split("\n");
    process.kill(Number(pid), ENDS[how]);
    while (isAlive(Number(pid))) await delay(RETRY_MS);
  }

  /**
   * Fulfilled when others have at least `count` sessions in it, whatever state it was in before.
   * @throws after `ms`, with the last answer or error; and where it cannot be started again
   */
  async hasSessions(count: number, ms = 60_000): Promise<void> {
    const deadline = performance.now() + ms;
    let last: unknown = "no answer";
    while (performance.now() < deadline) {
      const sessions = await Promise.race([this.query((sql) => sessionsOf(sql)), this.#failed()]).catch((error: unknown) => {
        if (error instanceof NeverAgain) throw error;
        last = error;
        return 0;
      });
      if (sessions >= count) return;
      if (sessions > 0) last = `${sessions} sessions`;
      await delay(RETRY_MS);
    }
    throw new Error(`not ${count} sessions in ${ms} ms: ${String(last)}`);
  }

  /** Asks it on a connection that is made for that. */
  async query<T>(ask: (sql: Sql) => Promise<T>): Promise<T> {
    const sql = connect({ ...this.#database.options, connection: { application_name: "test" } }, 1);
    try {
      return await ask(sql);
    } finally {
      await sql.end({ timeout: 1 });
    }
  }

  async stop(): Promise<void> {
    await this.#database.stop();
    await rm(this.#directory, { recursive: true, force: true });
  }

  async #failed(): Promise<never> {
    throw new NeverAgain("PostgreSQL could not be started again", { cause: await this.#database.failed });
  }
}

class NeverAgain extends Error {}

async function sessionsOf(sql: Sql): Promise<number> {
  const [row] = await sql<{ sessions: number }[]>`
    select count(*)::integer as sessions from pg_stat_activity where datname = current_database() and application_name <> 'test'`;
  return row?.sessions ?? 0;
}

/** Not yet collected by its parent counts as alive. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
