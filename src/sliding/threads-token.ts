/** `prev_batch` of the thread subscriptions extension, which the companion endpoint takes as `from` and gives as `end` (MSC4308). */

import type { ThreadSpan } from "../store/thread-subscriptions.ts";

/** It needs no signature: whoever makes one up is sent the own subscriptions of another span. */
export function threadsToken({ after, before }: ThreadSpan): string {
  return `syncv3_threads_${after}_${before ?? Number.MAX_SAFE_INTEGER}`;
}

/** null: it is not one of ours. */
export function threadsSpan(token: string): ThreadSpan | null {
  const [, after, before] = /^syncv3_threads_(\d{1,16})_(\d{1,16})$/.exec(token) ?? [];
  return after === undefined || before === undefined ? null : { after: Number(after), before: Number(before) };
}
