/** Waiting for what an answer needs from the homeserver (D24). */

import { needKey, type Need } from "../streams/stream.ts";
import type { AccountNo } from "../wire/ids.ts";
import type { WaitEnd, Waiter } from "./waiter.ts";

export type FetchDeps = {
  /** ms since the epoch. */
  readonly now: () => number;
  /** Fetches and stores what an answer needs; settles when that is done or has failed. Several calls for one thing share it. */
  readonly fetch: (account: AccountNo, need: Need) => Promise<void>;
  /** Throws the 401 of D2 where the token has died meanwhile. */
  readonly assertTokenLives: (tokenHash: Buffer) => Promise<void>;
};

/**
 * Has `needs` fetched and waits for them, at most until `deadline`. What comes later is in `late` until then, left out of the
 * answer (D24), and has the request look again.
 */
export async function awaitFetches(
  { fetch, assertTokenLives, now }: FetchDeps,
  request: { readonly account: AccountNo; readonly tokenHash: Buffer },
  needs: readonly Need[],
  late: Set<string>,
  deadline: number,
  waiter: Waiter,
): Promise<WaitEnd> {
  for (const need of needs) {
    late.add(needKey(need));
    // The fetcher has told why, if it fails.
    void fetch(request.account, need)
      .catch(() => undefined)
      .finally(() => {
        late.delete(needKey(need));
        waiter.nudge();
      });
  }
  let end: WaitEnd = "look";
  while (end !== "superseded" && needs.some((need) => late.has(needKey(need))) && now() < deadline && !waiter.isStopped) {
    end = await waiter.next(deadline - now());
    if (end === "gone") await assertTokenLives(request.tokenHash);
  }
  return end;
}
