/** Waiting for what an answer needs from the homeserver (D24). */

import { needKey, type Need } from "./fetch-need.ts";
import type { AccountNo, DeviceNo } from "../wire/ids.ts";
import type { WaitEnd, Waiter } from "./waiter.ts";

export type FetchDeps = {
  /** ms since the epoch. */
  readonly now: () => number;
  /** Fetches and stores what an answer needs; settles when that is done or has failed. Several calls for one thing share it. */
  readonly fetch: (account: AccountNo, need: Need) => Promise<void>;
  /**
   * Throws the 401 of D2 where the homeserver has refused the token meanwhile. False: nothing is stored of the token any more (it has logged
   * out, or the account was forgotten here). It may still be good, and a 401 would log a client out: what waits with it begins anew.
   */
  readonly tokenLives: (tokenHash: Buffer) => Promise<boolean>;
  /** Resolves when what the device is sending now is sent, or it takes too long: its transaction ids are known then (T15). */
  readonly sendsSettled: (device: DeviceNo) => Promise<void>;
};

/** A request that waits. */
export type Fetching = {
  readonly account: AccountNo;
  /** Throws where the request's token, or its session or connection, has ended meanwhile (T18). */
  readonly assertLives: () => Promise<void>;
};

/**
 * Has `needs` fetched and waits for them, at most until `deadline`. What comes later is in `late` until then, left out of the
 * answer (D24), and has the request look again.
 */
export async function awaitFetches(
  { fetch, now }: Pick<FetchDeps, "fetch" | "now">,
  request: Fetching,
  waiter: Waiter,
  { needs, late, deadline }: { readonly needs: readonly Need[]; readonly late: Set<string>; readonly deadline: number },
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
    if (end === "gone") await request.assertLives();
  }
  return end;
}
