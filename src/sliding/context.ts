/** One evaluation's view of the database. Everything is read up to `to`, from memory or in one read transaction. */

import type { RoomEvent } from "../store/bundles.ts";
import type { Tx } from "../store/db.ts";
import type { AccountNo, DeviceNo, Position, UserId } from "../wire/ids.ts";
import type { MessageRetention } from "../wire/message-retention.ts";
import type { Recent } from "./recent.ts";

export type SlidingContext = {
  /** null: only memory is read. A reader that needs the database returns null then, and the request is evaluated again in a transaction. */
  readonly tx: Tx | null;
  /** Ends at `to`. */
  readonly recent: Recent;
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly userId: UserId;
  /** The request's position; 0: it has none. */
  readonly from: Position;
  readonly to: Position;
  /** The request's position is after the homeserver's first response, so that what came later is live. */
  readonly live: boolean;
  /** The newest upstream token: a `prev_batch` after every event. */
  readonly upstreamSince: string;
  /** See AccountHead. */
  readonly presenceIsCurrent: boolean;
  /** See PagingContext. */
  readonly ownTokens: boolean;
  readonly ignored: readonly UserId[];
  /** See ConnectionHead. */
  readonly retention: MessageRetention | null;
  /** Has the homeserver asked what it bundles with these events now (T7). */
  readonly askBundles: (events: readonly RoomEvent[]) => void;
  /** Needs that were fetched, or could not be, in this request: they are not asked for again. */
  readonly tried: ReadonlySet<string>;
  /** ms since the epoch. */
  readonly now: number;
};

export type StoredContext = SlidingContext & { readonly tx: Tx };

export function isStored(context: SlidingContext): context is StoredContext {
  return context.tx !== null;
}
