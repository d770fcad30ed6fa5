/**
 * What was read of rooms to tell them whole, kept in memory until something of them changes: first answers of most sessions and connections ask
 * for the same rooms in the same way. A cache: it is bounded, and may vanish at any time.
 */

import { LRUCache } from "lru-cache";
import type { EventRow } from "../store/event-row.ts";
import type { AccountNo, DeviceNo, RoomId, UserId } from "../wire/ids.ts";

/** Who asks, and for which room as it is now. */
export type RoomAsk = {
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly userId: UserId;
  readonly ignored: readonly UserId[];
  /** ms since the epoch. */
  readonly now: number;
  readonly roomId: RoomId;
  /** standings.changed_ord of the room. */
  readonly changedOrd: number;
  /** What else the reading depends on. */
  readonly config: string;
};

/** What a reading consists of: the events of its timeline, and other rows. */
export type RowsOf<T> = (reading: T) => { readonly timeline: readonly EventRow[]; readonly others: readonly EventRow[] };

/** `device`: whose transaction ids the timeline has; null: it has no event that could have one. */
type CachedRoom<T> = { readonly reading: T; readonly changedOrd: number; readonly device: DeviceNo | null; readonly size: number };

/** Characters of all kept texts together. */
const MAX_SIZE = 128 * 1024 * 1024;
/** Beside its event's text, a row takes about so much. */
const ROW_SIZE = 400;
/** How long the transaction id of an own event may still be learned, ms. */
const SENDING_MS = 60_000;

export class RoomCache<T extends object> {
  readonly #rooms: LRUCache<string, CachedRoom<T>>;
  readonly #rowsOf: RowsOf<T>;

  /** @param copies how often the texts of a reading's events are kept: once, and for everything that is written of them and kept beside */
  constructor(rowsOf: RowsOf<T>, copies: number) {
    this.#rowsOf = rowsOf;
    this.#rooms = new LRUCache({ maxSize: MAX_SIZE, sizeCalculation: ({ size }, key) => key.length + copies * size });
  }

  get(ask: RoomAsk): T | undefined {
    const kept = this.#rooms.get(keyOf(ask));
    const isGood = kept?.changedOrd === ask.changedOrd && (kept.device === null || kept.device === ask.device);
    return isGood ? kept.reading : undefined;
  }

  keep(ask: RoomAsk, reading: T): void {
    const { timeline, others } = this.#rowsOf(reading);
    const own = timeline.filter((row) => row.sender === ask.userId);
    if (own.some((row) => row.age_ts !== null && ask.now - row.age_ts < SENDING_MS)) return;
    const size = [...timeline, ...others].reduce((sum, row) => sum + ROW_SIZE + row.body.length + (row.unsigned?.length ?? 0), 0);
    this.#rooms.set(keyOf(ask), { reading, changedOrd: ask.changedOrd, device: own.length > 0 ? ask.device : null, size });
  }
}

function keyOf({ account, roomId, config, ignored }: RoomAsk): string {
  return `${account} ${roomId} ${config} ${ignored.join(" ")}`;
}
