/** What a supervisor is given. Intervals differ from their defaults in tests. */

import type { Feed } from "../feed/hub.ts";
import type { DbOptions } from "../store/db.ts";
import type { FeedGapsDeps } from "./feed-gaps.ts";
import type { PollerDeps, SupervisedDeps } from "./poller-types.ts";
import type { QuestionBudget } from "./reconcile/question-budget.ts";
import type { ReconcilerDeps } from "./reconcile/reconciler.ts";
import type { RereadsDeps } from "./rereads.ts";
import type { RestoreWatchDeps } from "./restore-watch.ts";
import type { RetentionQuestionDeps } from "./retention-question.ts";

export type SupervisorOptions = Omit<PollerDeps, SupervisedDeps> & {
  readonly assumedRetention?: RetentionQuestionDeps["assumedRetention"];
  readonly client: PollerDeps["client"] &
    RereadsDeps["client"] &
    FeedGapsDeps["client"] &
    ReconcilerDeps["client"] &
    RestoreWatchDeps["client"] &
    RetentionQuestionDeps["client"];
  /** A name that no other process has, now or ever, e.g. a UUID. */
  readonly ownerId: string;
  readonly feed: Pick<Feed, "publish" | "observe">;
  /** See LeasesOptions: connects straight to PostgreSQL and keeps one connection; null behind a transaction pooler. */
  readonly lockDb: DbOptions | null;
  /** False: other processes poll, and learn from this one only which devices exist. Default true. */
  readonly polls?: boolean;
  /** Accounts whose clients were not seen for so long are not polled, ms. Default 30 days. */
  readonly idleMs?: number;
  /** Interval between two checks of what there is to poll, ms. Default 1000; longer if a check takes long. */
  readonly sweepMs?: number;
  /** Held accounts that are checked in one sweep at least. Default 100. */
  readonly sweepBatch?: number;
  /** Age of the last success at which typing ends, ms. Default 2 minutes. */
  readonly typingMs?: number;
  /** Interval between two checks of that, ms. Default 15 s. */
  readonly typingSweepMs?: number;
  /** Interval between two checks of what is to be read again, ms. Default 5 s. */
  readonly rereadMs?: number;
  /** Interval between two looks for rooms to check, ms. Default 5 s. */
  readonly checkMs?: number;
  /** Interval between two looks whether somebody is no longer ignored, ms. Default 1 s. */
  readonly unignoredMs?: number;
  /** See UnignoredDeps. */
  readonly freshStartMs?: number;
  /** Interval between two looks for gaps of feeds, ms. Default 500. */
  readonly feedGapsMs?: number;
  /** See FeedGapsDeps. */
  readonly gapMs?: number;
  /** Default: at the default rate. */
  readonly questions?: QuestionBudget;
  /** See ReconcilerDeps. */
  readonly secondLookMs?: number;
  /** See PollerDeps. Default: a monotonic clock. */
  readonly now?: () => number;
  readonly random?: () => number;
  readonly sleep?: PollerDeps["sleep"];
};
