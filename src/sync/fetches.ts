/** Waiting for what an answer needs from the homeserver (D24). */

import type { RoomHero } from "../store/background-asks.ts";
import type { RoomEvent } from "../store/bundles.ts";
import { needKey, type Need } from "./fetch-need.ts";
import type { AccountNo, DeviceNo, RoomId } from "../wire/ids.ts";
import type { WaitEnd, Waiter } from "./waiter.ts";

export type FetchDeps = {
  /** ms since the epoch. */
  readonly now: () => number;
  /** Fetches and stores what an answer needs; settles when that is done or has failed. Concurrent calls for the same need share one fetch. */
  readonly fetch: (account: AccountNo, need: Need) => Promise<void>;
  /** Begins to fetch the member events of heroes that were sent without a display name, as far as they are due (T14). No answer waits for it. */
  readonly learnHeroes: (account: AccountNo, heroes: readonly RoomHero[]) => void;
  /** Begins to ask whether the homeserver still has the beginnings of these rooms (T4), as far as that is due. No answer waits for it. */
  readonly checkBeginnings: (account: AccountNo, rooms: readonly RoomId[]) => void;
  /** Begins to ask the homeserver what it bundles with events (T7), as far as that is due. No answer waits for it. */
  readonly askBundles: (account: AccountNo, events: readonly RoomEvent[]) => void;
  /**
   * Throws the 401 of D2 if the homeserver has refused the token in the meantime. False: nothing is stored for the token any more, because it was
   * logged out or the account was forgotten here. It may still be good and a 401 would log the client out, so waiting requests start from scratch
   * instead.
   */
  readonly tokenLives: (tokenHash: Buffer) => Promise<boolean>;
  /** Resolves when the device's sends in progress are finished, or when that takes too long. Their transaction ids are known then (T15). */
  readonly sendsSettled: (device: DeviceNo) => Promise<void>;
  /** Called when a session or connection of the account begins: its rooms are to be checked soon (T1). */
  readonly opened: (account: AccountNo) => void;
};

export type FetchWait = {
  readonly needs: readonly Need[];
  /** See awaitFetches. */
  readonly late: Set<string>;
  /** ms since the epoch */
  readonly deadline: number;
  /** Called after a wake-up says that something ended; throws if it was the request's token, session or connection (T18). */
  readonly gone: () => Promise<void>;
};

/**
 * Starts fetching `needs` and waits for them, until `deadline` at the latest. A need that takes longer stays in `late`, is left out of the answer
 * (D24), and has the request evaluated again once it is there.
 */
export async function awaitFetches(
  { fetch, now }: Pick<FetchDeps, "fetch" | "now">,
  account: AccountNo,
  waiter: Waiter,
  { needs, late, deadline, gone }: FetchWait,
): Promise<WaitEnd> {
  for (const need of needs) {
    late.add(needKey(need));
    // The fetcher has logged the reason.
    void fetch(account, need)
      .catch(() => undefined)
      .finally(() => {
        late.delete(needKey(need));
        waiter.nudge();
      });
  }
  let end: WaitEnd = "evaluate";
  while (end !== "superseded" && needs.some((need) => late.has(needKey(need))) && now() < deadline && !waiter.isStopped) {
    end = await waiter.next(deadline - now());
    if (end === "gone") await gone();
  }
  return end;
}
