/** Where a round's fault strikes: at each step of a response's way from the homeserver to the client. */

import { setImmediate as turn } from "node:timers/promises";
import type { Sql, Tx } from "../../src/store/db.ts";
import type { FakeHomeserver } from "../support/fake-homeserver.ts";

/** What a fault strikes, and what it can look at to know when. */
export type Target = {
  readonly homeserver: FakeHomeserver;
  readonly token: string;
  /** A connection to the database, past the server. */
  readonly sql: Sql;
  /** Has the homeserver say what the round is about. */
  readonly say: () => void;
  /** Fulfilled once a client has had something of the round. */
  readonly told: () => Promise<void>;
  /** Kills workers of the server with -9; it starts others. */
  readonly killWorkers: () => Promise<void>;
  /** Kills all of the server with -9, and starts it again. */
  readonly killServer: () => Promise<void>;
  /** Kills PostgreSQL's first process with -9; the server starts it again. */
  readonly killDatabase: () => Promise<void>;
};

/** Strikes, and gives when, in ms of performance.now(). */
type Strike = (target: Target) => Promise<number>;

const struck = async (kill: () => Promise<void>): Promise<number> => {
  const at = performance.now();
  await kill();
  return at;
};

export const FAULTS: Readonly<Record<string, Strike>> = {
  "a worker, while the homeserver is asked": async ({ homeserver, token, killWorkers, say }) => {
    await homeserver.waitForPoll(token, 60_000);
    const at = await struck(killWorkers);
    say();
    return at;
  },
  "a worker, as the homeserver's answer leaves it": async ({ homeserver, token, killWorkers, say }) => {
    const poll = await homeserver.waitForPoll(token, 60_000);
    say();
    while (poll.sentAt === undefined) await turn();
    return struck(killWorkers);
  },
  "a worker, inside the transaction before it wrote": async (target) => inside(target, (tx) => tx`select from accounts for update`),
  "a worker, inside the transaction when it has written some": async (target) =>
    inside(target, (tx) => tx`lock table devices, to_device in share mode`),
  "a worker, after the commit": async ({ homeserver, token, sql, killWorkers, say }) => {
    await homeserver.waitForPoll(token, 60_000);
    const place = async () => (await sql<{ since: string }[]>`select since from accounts`)[0]?.since;
    const before = await place();
    say();
    while ((await place()) === before);
    return struck(killWorkers);
  },
  "a worker, when the first client has been told": async ({ killWorkers, say, told }) => {
    say();
    await told();
    return struck(killWorkers);
  },
  "the server with all its processes": async ({ killServer, say, told }) => {
    say();
    await told();
    return struck(killServer);
  },
  PostgreSQL: async ({ killDatabase, say, told }) => {
    say();
    await told();
    return struck(killDatabase);
  },
};

/** Holds up the server's transaction by a lock, strikes, and lets go. */
async function inside({ homeserver, token, sql, killWorkers, say }: Target, lock: (tx: Tx) => PromiseLike<unknown>): Promise<number> {
  await homeserver.waitForPoll(token, 60_000);
  return await sql.begin(async (tx) => {
    await lock(tx);
    say();
    for (;;) {
      const [{ count } = { count: 0 }] = await sql<{ count: number }[]>`
        select count(*) from pg_stat_activity where wait_event_type = 'Lock' and query not like '%leases%'`;
      if (count > 0) break;
    }
    return struck(killWorkers);
  });
}
