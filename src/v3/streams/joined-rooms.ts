/**
 * All rooms that the user is in, for lists that sort them. Cached, and updated by what changed; the cache is bounded, and may be emptied at any
 * time. Sliding sync's account views are about all rooms, account data and typing, always of now; these are of any position that a token names.
 */

import { LRUCache } from "lru-cache";
import type { Tx } from "../../store/db.ts";
import { joinedFactsAt, joinedRoomsNow, type RoomNow, roomsNow } from "../../store/facts.ts";
import type { RoomFactsRow } from "../../store/room-facts.ts";
import type { AccountNo, Position, RoomId } from "../../wire/ids.ts";

/** A room's facts as they were at a position; its recency and change are those of now, whatever the position. */
export type ListedRoom = RoomFactsRow & RoomNow;

export type ListedRooms = {
  readonly rooms: ReadonlyMap<RoomId, ListedRoom>;
  /** The order of lists, by their filters and sorts. */
  readonly orders: LRUCache<string, readonly ListedRoom[]>;
};

/** The latest state of an account: its position, and how often a room of it was forgotten. */
export type Moment = { readonly position: Position; readonly forgotten: number };

/** Of all accounts together. A room takes about a kilobyte. */
const MAX_ROOMS = 100_000;
/** Per account. */
const MAX_ORDERS = 8;

export class JoinedRoomsCache {
  readonly #cached = new LRUCache<AccountNo, ListedRooms & Moment>({ maxSize: MAX_ROOMS, sizeCalculation: ({ rooms }) => rooms.size + 1 });

  /** @param now the moment that `tx` sees */
  async read(tx: Tx, account: AccountNo, { position, forgotten }: Moment): Promise<ListedRooms> {
    const known = this.#cached.get(account);
    const before = known?.forgotten === forgotten && known.position <= position ? known : null;
    if (before?.position === position) return before;
    const rooms = new Map(before?.rooms);
    for (const [roomId, room] of await joinedRoomsNow(tx, account, before?.position ?? 0)) {
      if (room) rooms.set(roomId, room);
      else rooms.delete(roomId);
    }
    const read = { ...joined(rooms), position, forgotten };
    this.#cached.set(account, read);
    return read;
  }
}

type Moments = {
  readonly tx: Tx;
  readonly account: AccountNo;
  readonly to: Position;
  readonly cache: { readonly joined: JoinedRoomsCache; readonly now: Moment };
};

/** The rooms at `to`. */
export function joinedRooms({ tx, account, to, cache }: Moments): Promise<ListedRooms> {
  return cache.now.position === to ? cache.joined.read(tx, account, cache.now) : readJoinedRooms(tx, account, to);
}

async function readJoinedRooms(tx: Tx, account: AccountNo, at: Position): Promise<ListedRooms> {
  const [rows, now] = await Promise.all([joinedFactsAt(tx, account, at), roomsNow(tx, account, "all")]);
  return joined(new Map(rows.map((row) => [row.room_id, { ...row, ...(now.get(row.room_id) ?? UNKNOWN) }])));
}

/** For a room of which nothing current is known. */
export const UNKNOWN: RoomNow = { recency: 0, changedOrd: Infinity };

function joined(rooms: ReadonlyMap<RoomId, ListedRoom>): ListedRooms {
  return { rooms, orders: new LRUCache({ max: MAX_ORDERS }) };
}
