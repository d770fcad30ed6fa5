/** One evaluation's view of the database. Everything is read up to `to`, in one read transaction or from memory. */

import type { Tx } from "../store/db.ts";
import type { AccountNo, DeviceNo, Position, UserId } from "../wire/ids.ts";
import type { Recent } from "./recent.ts";

export type SlidingContext = {
  /** null: only memory is read. Whoever needs more answers null, and the request is evaluated again in a transaction. */
  readonly tx: Tx | null;
  /** Ends at `to`. */
  readonly recent: Recent;
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly userId: UserId;
  /** The position of the request; 0: it has none. */
  readonly from: Position;
  readonly to: Position;
  /** The request's position stands behind the homeserver's first answer: what came after it has just occurred. */
  readonly live: boolean;
  /** The newest upstream token: a `prev_batch` that stands behind every event. */
  readonly upstreamSince: string;
  /** See PagingContext. */
  readonly ownTokens: boolean;
  readonly ignored: readonly UserId[];
  /** Needs that were already fetched, or could not be: never asked for again in this request. */
  readonly tried: ReadonlySet<string>;
  /** ms since the epoch. */
  readonly now: number;
};

export type StoredContext = SlidingContext & { readonly tx: Tx };

export function isStored(context: SlidingContext): context is StoredContext {
  return context.tx !== null;
}
