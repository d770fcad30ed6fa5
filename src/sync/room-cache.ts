/**
 * Rows that were read to send a room in full, cached until something in the room changes: first answers of most sessions and connections ask for
 * the same rooms in the same way. The cache is bounded, and may be emptied at any time.
 */

import { LRUCache } from "lru-cache";
import type { EventRow } from "../store/event-row.ts";
import type { AccountNo, DeviceNo, RoomId, UserId } from "../wire/ids.ts";

/** The requester and the room, as both are now. */
export type RoomAsk = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly userId: UserId;
  readonly ignored: readonly UserId[];
  /** ms since the epoch. */
  readonly now: number;
  readonly roomId: RoomId;
  /** Messages from before have expired, see message-expiry.ts. */
  readonly sentSince: number | null;
  /** standings.changed_ord of the room. */
  readonly changedOrd: number;
  /** What else the rows depend on. */
  readonly config: string;
};

/** The rows of a reading: the events of its timeline, and others. */
export type RowsOf<T> = (reading: T) => { readonly timeline: readonly EventRow[]; readonly others: readonly EventRow[] };

/**
 * `device`: the device whose transaction ids the timeline contains; null: none of its events could have one. `lifetime`: of the room's messages, ms;
 * `oldest`: when the oldest message was sent.
 */
type CachedRoom<T> = {
  readonly reading: T;
  readonly changedOrd: number;
  readonly device: DeviceNo | null;
  readonly lifetime: number | null;
  readonly oldest: number;
  readonly size: number;
};

/** Characters of all cached texts together. */
const MAX_SIZE = 128 * 1024 * 1024;
/** About how much a row takes in addition to its event's text. */
const ROW_SIZE = 400;
/** How long after an event of the user's own its transaction id may still become known, ms. */
const SENDING_MS = 60_000;

export class RoomCache<T extends object> {
  readonly #rooms: LRUCache<string, CachedRoom<T>>;
  readonly #rowsOf: RowsOf<T>;

  /** @param copies how often the texts of the rows are held in memory: once, plus once for JSON that is cached with them */
  constructor(rowsOf: RowsOf<T>, copies: number) {
    this.#rowsOf = rowsOf;
    this.#rooms = new LRUCache({ maxSize: MAX_SIZE, sizeCalculation: ({ size }, key) => key.length + copies * size });
  }

  get(ask: RoomAsk): T | undefined {
    const cached = this.#rooms.get(keyOf(ask));
    if (cached?.changedOrd !== ask.changedOrd || (cached.device !== null && cached.device !== ask.device)) return undefined;
    const isAllShown = cached.lifetime === lifetimeOf(ask) && cached.oldest >= (ask.sentSince ?? -Infinity);
    return isAllShown ? cached.reading : undefined;
  }

  set(ask: RoomAsk, reading: T): void {
    const { timeline, others } = this.#rowsOf(reading);
    const own = timeline.filter((row) => row.sender === ask.userId);
    if (own.some((row) => row.age_ts !== null && ask.now - row.age_ts < SENDING_MS)) return;
    const size = [...timeline, ...others].reduce((sum, row) => sum + sizeOf(row), 0);
    const oldest = Math.min(...timeline.filter((row) => row.state_key === null).map((row) => row.ts ?? 0));
    const device = own.length > 0 ? ask.device : null;
    this.#rooms.set(keyOf(ask), { reading, changedOrd: ask.changedOrd, device, lifetime: lifetimeOf(ask), oldest, size });
  }
}

function sizeOf({ body, unsigned, relations, bundle }: EventRow): number {
  const bundled = [bundle?.replace, bundle?.thread?.latest].reduce((sum, row) => sum + (row ? sizeOf(row) : 0), 0);
  return ROW_SIZE + body.length + (unsigned?.length ?? 0) + (relations?.length ?? 0) + bundled;
}

function lifetimeOf({ now, sentSince }: RoomAsk): number | null {
  return sentSince === null ? null : now - sentSince;
}

function keyOf({ account, roomId, config, ignored }: RoomAsk): string {
  return `${account} ${roomId} ${config} ${ignored.join(" ")}`;
}
