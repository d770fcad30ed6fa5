/**
 * The life of a request that may wait, the same for both APIs: evaluate; if the answer lacks something, fetch it and evaluate again; answer if
 * there is news or the time is up; otherwise wait for a wake-up and evaluate again.
 */

import { Turns } from "../base/turns.ts";
import type { Sql } from "../store/db.ts";
import { sessionExists } from "../store/sessions.ts";
import type { MatrixError } from "../wire/errors.ts";
import type { AccountNo, DeviceNo, SessionNo } from "../wire/ids.ts";
import { awaitFetches, type FetchDeps } from "./fetches.ts";
import { type Need, needKey } from "./fetch-need.ts";
import type { WaitEnd, Waiter } from "./waiter.ts";

export type LongPollDeps = FetchDeps & {
  readonly sql: Sql;
  /** How long an answer waits for what must be fetched (D24), ms. */
  readonly fetchMs: number;
};

/** What an API does at each step. */
export type LongPoll<Outcome extends { readonly needs: readonly Need[] }, Reply> = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly tokenHash: Buffer;
  /** The session or connection; null: it does not exist yet. */
  readonly session: SessionNo | null;
  /** A session or connection begins with this request. */
  readonly isFirst: boolean;
  /** @param tried needs that were fetched for this request, or could not be; `late`: those of them that are still being fetched (D24) */
  evaluate(tried: ReadonlySet<string>, late: ReadonlySet<string>): Promise<Outcome>;
  /** When an outcome is answered if nothing else happens, ms since the epoch; 0: at once, because there is news. */
  answerAt(outcome: Outcome): number;
  /** Called before the request is evaluated again, after an outcome without news. */
  beforeNext(outcome: Outcome, end: WaitEnd): void;
  answer(outcome: Outcome): Promise<Reply>;
  /** The answer to a request that a newer one superseded (D11). */
  superseded(): Reply;
  /** The error for a request whose session or connection is gone, or for whose token nothing is stored any more (T18). */
  gone(): MatrixError;
};

/** @throws what the functions of `poll` throw, `poll.gone()`, and MatrixError 401 if the homeserver has refused the token (D2) */
export async function longPoll<Outcome extends { readonly needs: readonly Need[] }, Reply>(
  deps: LongPollDeps,
  waiter: Waiter,
  poll: LongPoll<Outcome, Reply>,
): Promise<Reply> {
  const { now, fetchMs, sendsSettled } = deps;
  const gone = () => assertLives(deps, poll);
  if (poll.isFirst) deps.opened(poll.account);
  const tried = new Set<string>();
  const late = new Set<string>();
  let fetchDeadline: number | null = null;
  for (let waits = 0; ;) {
    await sendsSettled(poll.device);
    const outcome = await inTurn(poll.account, () => poll.evaluate(tried, late));
    if (outcome.needs.length > 0) {
      for (const need of outcome.needs) tried.add(needKey(need));
      fetchDeadline ??= now() + fetchMs;
      const end = await awaitFetches(deps, poll.account, waiter, { needs: outcome.needs, late, deadline: fetchDeadline, gone });
      if (end === "superseded") return poll.superseded();
      continue;
    }
    fetchDeadline = null;
    const answerAt = poll.answerAt(outcome);
    if (now() >= answerAt || waiter.isStopped) return await poll.answer(outcome);
    // The token may have been logged out before the waiter subscribed.
    if (waits === 0) await assertToken(deps, poll);
    waits += 1;
    const end = await waiter.next(answerAt - now());
    if (end === "superseded") return poll.superseded();
    // Everything that changes an answer or ends a session publishes a wake-up, so without one another evaluation would find nothing.
    if (end === "over") return await poll.answer(outcome);
    if (end === "gone") await assertToken(deps, poll);
    poll.beforeNext(outcome, end);
  }
}

type Living = Pick<LongPoll<never, never>, "tokenHash" | "session" | "gone">;

async function assertToken({ tokenLives }: LongPollDeps, poll: Living): Promise<void> {
  if (!(await tokenLives(poll.tokenHash))) throw poll.gone();
}

async function assertLives(deps: LongPollDeps, poll: Living): Promise<void> {
  await assertToken(deps, poll);
  if (poll.session !== null && !(await sessionExists(deps.sql, poll.session))) throw poll.gone();
}

/** An account whose last evaluation took longer, ms, has one at a time: its requests do not take the place of others' (N10). */
const COSTLY_MS = 50;
const costly = new Set<AccountNo>();
const turns = new Turns<AccountNo>();

function inTurn<T>(account: AccountNo, evaluate: () => Promise<T>): Promise<T> {
  const timed = async (): Promise<T> => {
    const start = performance.now();
    try {
      return await evaluate();
    } finally {
      if (performance.now() - start > COSTLY_MS) costly.add(account);
      else costly.delete(account);
    }
  };
  return costly.has(account) ? turns.run(account, timed) : timed();
}
