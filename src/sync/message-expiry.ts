/** Which messages of a room have expired now (T4). */

import type { RoomFacts } from "../store/room-facts.ts";
import type { RoomId } from "../wire/ids.ts";
import { lifetimeOf, type MessageRetention } from "../wire/message-retention.ts";

type ExpiryContext = {
  readonly retention: MessageRetention | null;
  /** ms since the epoch. */
  readonly now: number;
};

/** Messages that were sent before this time are not sent any more, ms since the epoch; null: all are. `facts`: those of the room. */
export function sentSince({ retention, now }: ExpiryContext, roomId: RoomId, facts: RoomFacts | undefined): number | null {
  const lifetime = lifetimeOf(retention, roomId, facts?.sources.lifetime);
  return lifetime === null ? null : now - lifetime;
}
