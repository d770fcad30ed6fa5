/** What was read of rooms to tell them whole, kept until something of them changes. */

import { RoomCache, type RoomAsk } from "../sync/room-cache.ts";
import type { UserId } from "../wire/ids.ts";
import type { SlidingContext } from "./context.ts";
import type { RoomJob } from "./room-jobs.ts";
import type { RoomContent } from "./room-content.ts";

/** A room told whole. */
export type InitialRoom = {
  /** One object as long as the room is told so. */
  readonly content: RoomContent;
  /** Whose member events are in it because the timeline needs them. */
  readonly lazy: readonly UserId[];
};

export class InitialRoomsCache {
  // Texts twice: whoever writes answers keeps the content as text too.
  readonly #rooms = new RoomCache<InitialRoom>(({ content }) => ({ timeline: content.timeline?.events ?? [], others: content.requiredState }), 2);
  readonly #asked: ((isThere: boolean) => void) | undefined;

  /** @param asked told of each room that is asked for, and may be there */
  constructor(asked?: (isThere: boolean) => void) {
    this.#asked = asked;
  }

  get(context: SlidingContext, job: RoomJob): InitialRoom | undefined {
    if (!isKeepable(job)) return undefined;
    const kept = this.#rooms.get(askOf(context, job));
    this.#asked?.(kept !== undefined);
    return kept;
  }

  keep(context: SlidingContext, job: RoomJob, room: InitialRoom): void {
    if (isKeepable(job)) this.#rooms.keep(askOf(context, job), room);
  }
}

/** Of rooms that were left retention deletes, and of subscribed ones history is fetched: both without a change of the room. */
export function isKeepable({ kind, choice }: RoomJob): boolean {
  return kind === "initial" && choice.room.membership === "join" && !choice.subscribed;
}

function askOf({ account, device, userId, ignored, now }: SlidingContext, { roomId, matcher, choice }: RoomJob): RoomAsk {
  const config = `${choice.config.timelineLimit} ${matcher.id}`;
  return { account, device, userId, ignored, now, roomId, changedOrd: choice.room.changedOrd, config };
}
