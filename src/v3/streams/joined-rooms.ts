/**
 * All rooms that the user is in, for lists that sort them: kept in memory, and brought up to date by what changed. A cache: it is bounded, and
 * may vanish at any time.
 */

import { LRUCache } from "lru-cache";
import type { Tx } from "../../store/db.ts";
import { joinedFactsAt, joinedRoomsNow, type RoomNow, roomsNow } from "../../store/facts.ts";
import type { RoomFactsRow } from "../../store/room-facts.ts";
import type { AccountNo, Position, RoomId } from "../../wire/ids.ts";

/** Its facts as they are at a position, and what is told as it is now, whatever the position. */
export type ListedRoom = RoomFactsRow & RoomNow;

export type ListedRooms = {
  readonly rooms: ReadonlyMap<RoomId, ListedRoom>;
  /** In what order lists told them, by filters and sorts. */
  readonly orders: LRUCache<string, readonly ListedRoom[]>;
};

/** The newest moment of an account: its position, and how often a room of it was forgotten. */
export type Moment = { readonly position: Position; readonly forgotten: number };

/** Rooms of all accounts together. A room takes about a kilobyte. */
const MAX_ROOMS = 100_000;
/** Orders of one account. */
const MAX_ORDERS = 8;

export class JoinedRoomsCache {
  readonly #kept = new LRUCache<AccountNo, ListedRooms & Moment>({ maxSize: MAX_ROOMS, sizeCalculation: ({ rooms }) => rooms.size + 1 });

  /** @param now the moment that `tx` sees */
  async read(tx: Tx, account: AccountNo, { position, forgotten }: Moment): Promise<ListedRooms> {
    const known = this.#kept.get(account);
    const before = known?.forgotten === forgotten && known.position <= position ? known : null;
    if (before?.position === position) return before;
    const rooms = new Map(before?.rooms);
    for (const [roomId, room] of await joinedRoomsNow(tx, account, before?.position ?? 0)) {
      if (room) rooms.set(roomId, room);
      else rooms.delete(roomId);
    }
    const read = { ...joined(rooms), position, forgotten };
    this.#kept.set(account, read);
    return read;
  }
}

type Looking = {
  readonly tx: Tx;
  readonly account: AccountNo;
  readonly to: Position;
  readonly kept: { readonly joined: JoinedRoomsCache; readonly now: Moment };
};

/** At `to`. */
export function joinedRooms({ tx, account, to, kept }: Looking): Promise<ListedRooms> {
  return kept.now.position === to ? kept.joined.read(tx, account, kept.now) : readJoinedRooms(tx, account, to);
}

async function readJoinedRooms(tx: Tx, account: AccountNo, at: Position): Promise<ListedRooms> {
  const [rows, now] = await Promise.all([joinedFactsAt(tx, account, at), roomsNow(tx, account, "all")]);
  return joined(new Map(rows.map((row) => [row.room_id, { ...row, ...(now.get(row.room_id) ?? UNKNOWN) }])));
}

/** Of a room that nothing is known of now. */
export const UNKNOWN: RoomNow = { recency: 0, changedOrd: Infinity };

function joined(rooms: ReadonlyMap<RoomId, ListedRoom>): ListedRooms {
  return { rooms, orders: new LRUCache({ max: MAX_ORDERS }) };
}
