/**
 * The thread subscriptions extension (MSC4308): the newest changes, each thread as it is now. Those that are too many for an answer can be read from
 * the companion endpoint, with `prev_batch`.
 */

import { readThreads, type ThreadSpan } from "../../store/thread-subscriptions.ts";
import type { ThreadChange } from "../../wire/thread-subscriptions.ts";
import type { AccountView } from "../account-view.ts";
import { LIVE, type SentUpTo, type StateDraft } from "../connection-state.ts";
import type { SlidingContext } from "../context.ts";
import type { SlidingExtensions } from "../request.ts";

/** `left`: the span of those that are too many; null: there are none. */
export type ThreadsAnswer = { readonly changes: readonly ThreadChange[]; readonly left: ThreadSpan | null };
/** `sent`: the ordinal up to which they are sent then. */
export type ThreadsResult = ThreadsAnswer & { readonly sent: SentUpTo };

/** null: memory is not enough. */
export async function newThreads(
  { tx, account, from, to }: SlidingContext,
  view: AccountView | null,
  asked: SlidingExtensions["threads"],
  sent: SentUpTo,
): Promise<ThreadsResult | null> {
  const nothing = { changes: [], left: null };
  const after = sent === LIVE ? from : (sent ?? 0);
  if (sent === LIVE && from === to) return { ...nothing, sent };
  // What comes while it is disabled is sent once it is enabled again.
  if (!asked) return { ...nothing, sent: sent === LIVE ? from : sent };
  if (view && after >= view.threadsOrd) return { ...nothing, sent: LIVE };
  if (!tx) return null;
  const { rows: changes, isAll } = await readThreads(tx, account, { after, before: null }, asked.limit);
  return { changes, left: isAll ? null : { after, before: changes.at(-1)?.ord ?? null }, sent: LIVE };
}

export function noteThreads({ sent }: ThreadsResult, draft: StateDraft): void {
  draft.setThreads(sent);
}
