/**
 * What was read of rooms to tell them whole, kept in memory until something of them changes. First answers of most connections ask for
 * the same rooms with the same config. A cache: it is bounded, and may vanish at any time.
 */

import { LRUCache } from "lru-cache";
import type { DeviceNo, UserId } from "../../wire/ids.ts";
import type { SlidingContext } from "./context.ts";
import type { RoomJob } from "./room-jobs.ts";
import type { RoomContent } from "./room-results.ts";

/** A room told whole. */
export type InitialRoom = {
  /** One object as long as the room is told so. */
  readonly content: RoomContent;
  /** Whose member events are in it because the timeline needs them. */
  readonly lazy: readonly UserId[];
};

type Kept = InitialRoom & {
  /** standings.changed_ord of the room. */
  readonly changedOrd: number;
  /** The device whose transaction ids the timeline has; null: it has no event that could have one. */
  readonly device: DeviceNo | null;
};

/** Characters of all kept texts together. */
const MAX_SIZE = 128 * 1024 * 1024;
/** Beside its event's text, a row takes about so much. */
const ROW_SIZE = 400;
/** How long the transaction id of an own event may still be learned, ms. */
const SENDING_MS = 60_000;

export class InitialRoomsCache {
  readonly #rooms = new LRUCache<string, Kept>({ maxSize: MAX_SIZE, sizeCalculation: sizeOf });
  readonly #asked: ((isThere: boolean) => void) | undefined;

  /** @param asked told of each room that is asked for, and may be there */
  constructor(asked?: (isThere: boolean) => void) {
    this.#asked = asked;
  }

  get(context: SlidingContext, job: RoomJob): InitialRoom | undefined {
    if (!isKeepable(job)) return undefined;
    const kept = this.#rooms.get(keyOf(context, job));
    const isGood = kept?.changedOrd === job.choice.room.changedOrd && (kept.device === null || kept.device === context.device);
    this.#asked?.(isGood);
    return isGood ? kept : undefined;
  }

  keep(context: SlidingContext, job: RoomJob, room: InitialRoom): void {
    if (!isKeepable(job)) return;
    const own = room.content.timeline?.events.filter((row) => row.sender === context.userId) ?? [];
    if (own.some((row) => row.age_ts !== null && context.now - row.age_ts < SENDING_MS)) return;
    this.#rooms.set(keyOf(context, job), { ...room, changedOrd: job.choice.room.changedOrd, device: own.length > 0 ? context.device : null });
  }
}

/** Of rooms that were left retention deletes, and of subscribed ones history is fetched: both without a change of the room. */
export function isKeepable({ kind, choice }: RoomJob): boolean {
  return kind === "initial" && choice.room.membership === "join" && !choice.subscribed;
}

function keyOf({ account, ignored }: SlidingContext, { roomId, matcher, choice }: RoomJob): string {
  return `${account} ${roomId} ${choice.config.timelineLimit} ${matcher.id} ${ignored.join(" ")}`;
}

/** Events twice: whoever writes answers keeps the content as text too. */
function sizeOf({ content }: Kept, key: string): number {
  const rows = [...(content.timeline?.events ?? []), ...content.requiredState];
  return rows.reduce((sum, row) => sum + ROW_SIZE + 2 * (row.body.length + (row.unsigned?.length ?? 0)), key.length);
}
