/**
 * The life of a request that may wait, the same for both APIs: evaluate; if the answer lacks something, fetch it and evaluate again; answer if
 * there is news or the time is up; otherwise wait for a wake-up and evaluate again.
 */

import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import { awaitFetches, type FetchDeps } from "./fetches.ts";
import { type Need, needKey } from "./fetch-need.ts";
import type { WaitEnd, Waiter } from "./waiter.ts";

export type LongPollDeps = Omit<FetchDeps, "tokenLives"> & {
  /** How long an answer waits for what must be fetched (D24), ms. */
  readonly fetchMs: number;
};

/** What an API does at each step. */
export type LongPoll<Outcome extends { readonly needs: readonly Need[] }, Reply> = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  /** @param tried needs that were fetched for this request, or could not be; `late`: those of them that are still being fetched (D24) */
  evaluate(tried: ReadonlySet<string>, late: ReadonlySet<string>): Promise<Outcome>;
  /** When an outcome is answered if nothing else happens, ms since the epoch; 0: at once, because there is news. */
  answerAt(outcome: Outcome): number;
  /** Called before the request is evaluated again, after an outcome without news. */
  beforeNext(outcome: Outcome, end: WaitEnd): void;
  answer(outcome: Outcome): Promise<Reply>;
  /** The answer to a request that a newer one superseded (D11). */
  superseded(): Reply;
  /** Throws if the request's token is no longer good (T18). */
  assertToken(): Promise<void>;
  /** Throws if the token is no longer good, or if the session or connection has ended (T18). */
  assertLives(): Promise<void>;
};

/** @throws what the functions of `poll` throw */
export async function longPoll<Outcome extends { readonly needs: readonly Need[] }, Reply>(
  deps: LongPollDeps,
  waiter: Waiter,
  poll: LongPoll<Outcome, Reply>,
): Promise<Reply> {
  const { now, fetchMs, sendsSettled } = deps;
  const tried = new Set<string>();
  const late = new Set<string>();
  let fetchDeadline: number | null = null;
  for (let waits = 0; ;) {
    await sendsSettled(poll.device);
    const outcome = await poll.evaluate(tried, late);
    if (outcome.needs.length > 0) {
      for (const need of outcome.needs) tried.add(needKey(need));
      fetchDeadline ??= now() + fetchMs;
      const end = await awaitFetches(deps, poll, waiter, { needs: outcome.needs, late, deadline: fetchDeadline });
      if (end === "superseded") return poll.superseded();
      continue;
    }
    fetchDeadline = null;
    const answerAt = poll.answerAt(outcome);
    if (now() >= answerAt || waiter.isStopped) return await poll.answer(outcome);
    // The token may have been logged out before the waiter subscribed.
    if (waits === 0) await poll.assertToken();
    waits += 1;
    const end = await waiter.next(answerAt - now());
    if (end === "superseded") return poll.superseded();
    // Everything that changes an answer or ends a session publishes a wake-up, so without one another evaluation would find nothing.
    if (end === "over") return await poll.answer(outcome);
    if (end === "gone") await poll.assertToken();
    poll.beforeNext(outcome, end);
  }
}
