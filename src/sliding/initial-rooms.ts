/** Rooms that are sent in full, cached until something in them changes. */

import { sentSince } from "../sync/message-expiry.ts";
import { RoomCache, type RoomAsk } from "../sync/room-cache.ts";
import type { UserId } from "../wire/ids.ts";
import type { SlidingContext } from "./context.ts";
import type { RoomJob } from "./room-jobs.ts";
import type { RoomContent } from "./room-content.ts";

/** A room sent in full. */
export type InitialRoom = {
  /** The same object for as long as the room is cached. */
  readonly content: RoomContent;
  /** Users whose member events are included because the timeline needs them. */
  readonly lazy: readonly UserId[];
};

export class InitialRoomsCache {
  // Two copies of the texts: whoever writes answers caches the content's JSON as well.
  readonly #rooms = new RoomCache<InitialRoom>(({ content }) => ({ timeline: content.timeline?.events ?? [], others: content.requiredState }), 2);
  readonly #asked: ((isThere: boolean) => void) | undefined;

  /** @param asked called for each cacheable room that is asked for, with whether it was cached */
  constructor(asked?: (isThere: boolean) => void) {
    this.#asked = asked;
  }

  get(context: SlidingContext, job: RoomJob): InitialRoom | undefined {
    if (!isCacheable(job)) return undefined;
    const cached = this.#rooms.get(askOf(context, job));
    this.#asked?.(cached !== undefined);
    return cached;
  }

  set(context: SlidingContext, job: RoomJob, room: InitialRoom): void {
    if (isCacheable(job)) this.#rooms.set(askOf(context, job), room);
  }
}

/** Rooms that were left are trimmed by retention, and subscribed ones get fetched history, both without a change of the room. */
export function isCacheable({ kind, choice }: RoomJob): boolean {
  return kind === "initial" && choice.room.membership === "join" && !choice.subscribed;
}

function askOf(context: SlidingContext, { roomId, matcher, choice }: RoomJob): RoomAsk {
  const { account, device, userId, ignored, now } = context;
  const { changedOrd, facts } = choice.room;
  const config = `${choice.config.timelineLimit} ${matcher.id}`;
  return { account, device, userId, ignored, now, roomId, sentSince: sentSince(context, roomId, facts), changedOrd, config };
}
