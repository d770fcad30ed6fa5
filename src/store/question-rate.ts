/** How fast the homeserver is asked what no client waits for: one row for all processes. */

import type { Db } from "./db.ts";

/** After trouble the rate is halved, and doubled again after so long without, ms. */
const RECOVERY_MS = 60_000;
/** It is not halved more often than this. */
const MOST_HALVINGS = 8;

/** How often the rate is halved at present. */
function halved(db: Db) {
  return db`greatest(0, halvings - floor(extract(epoch from clock_timestamp() - troubled_at) * 1000 / ${RECOVERY_MS})::integer)`;
}

/** How much farther apart questions are than `perSecond` of them in a second: one that is late does not make it more in any second. */
const APART = 1.1;

/** Reserves the next question of all processes, at most `perSecond` in any second. Milliseconds until it may be asked. */
export async function reserveQuestion(db: Db, perSecond: number): Promise<number> {
  const seconds = APART / perSecond;
  const [row] = await db<{ wait: number }[]>`
    update question_rate set next_at = greatest(next_at, clock_timestamp()) + 2 ^ ${halved(db)} * ${seconds}::double precision * interval '1 second'
    where single
    returning (extract(epoch from next_at - clock_timestamp()) * 1000 - 1000 * 2 ^ ${halved(db)} * ${seconds}::double precision)::float8 as wait`;
  return Math.max(0, row?.wait ?? 0);
}

/** The homeserver was in trouble: the rate is halved. */
export async function halveQuestions(db: Db): Promise<void> {
  await db`update question_rate set halvings = least(${MOST_HALVINGS}, ${halved(db)} + 1), troubled_at = clock_timestamp() where single`;
}
