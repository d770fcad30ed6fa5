/** Sliding sync connections that are not used for a while, without waiting for it. */

import { silentLogger } from "../../src/base/logger.ts";
import { Hub } from "../../src/feed/hub.ts";
import { foldStates } from "../../src/sliding/stored-state.ts";
import { RetentionJob, type RetentionReport } from "../../src/upstream/retention-job.ts";
import { DAY } from "./retention-fixture.ts";
import type { V3Fixture } from "./v3.ts";

type Fixture = Pick<V3Fixture, "sql">;

/** Makes the user's connections look as if they were last used this long ago. */
export async function leaveIdle({ sql }: Fixture, userId: string, ms: number): Promise<void> {
  await sql`
    update sessions set used_at = now() - ${ms}::float8 * interval '1 millisecond'
    where account = (select account from accounts where user_id = ${userId})`;
}

/** Runs the retention job as if this much time had passed. */
export async function retain({ sql }: Fixture, inMs = 0): Promise<RetentionReport["counts"]> {
  const job = new RetentionJob({ sql, feed: new Hub(), logger: silentLogger(), sessionIdleMs: 7 * DAY, foldStates, now: () => Date.now() + inMs });
  return (await job.runOnce()).counts;
}

/** How many states of the user's connections are stored, and in which form: others are the same as a folded one. */
export async function storedStates(
  { sql }: Fixture,
  userId: string,
): Promise<{ readonly all: number; readonly json: number; readonly folded: number }> {
  const [row] = await sql<{ all: number; json: number; folded: number }[]>`
    select count(*)::integer as all, count(c.body)::integer as json, count(c.folded)::integer as folded
    from connection_states c join sessions s using (session) join accounts a using (account) where a.user_id = ${userId}`;
  return row ?? { all: 0, json: 0, folded: 0 };
}
