/**
 * All rooms that the user is in, for lists that sort them: kept in memory while nothing happens in the account. A cache: it is bounded, and
 * may vanish at any time.
 */

import { LRUCache } from "lru-cache";
import type { Tx } from "../store/db.ts";
import { joinedFactsAt, type RoomNow, roomsNow } from "../store/facts.ts";
import type { RoomFactsRow } from "../store/room-facts.ts";
import type { AccountNo, Position, RoomId } from "../wire/ids.ts";
import type { Context } from "./stream.ts";

/** `now`: as they are now, whatever the position of the facts. */
export type JoinedRooms = {
  readonly rooms: readonly RoomFactsRow[];
  readonly now: ReadonlyMap<RoomId, RoomNow>;
  /** In what order lists told them, by filters and sorts. */
  readonly orders: LRUCache<string, readonly RoomFactsRow[]>;
};

/** The newest moment of an account: its position, and how often a room of it was forgotten. */
export type Moment = { readonly position: Position; readonly forgotten: number };

/** Rooms of all accounts together. A room takes about a kilobyte. */
const MAX_ROOMS = 100_000;
/** Orders of one account. */
const MAX_ORDERS = 8;

export class JoinedRoomsCache {
  readonly #kept = new LRUCache<AccountNo, JoinedRooms & Moment>({ maxSize: MAX_ROOMS, sizeCalculation: ({ rooms }) => rooms.length + 1 });

  /** @param now the moment that `tx` sees */
  async read(tx: Tx, account: AccountNo, now: Moment): Promise<JoinedRooms> {
    const kept = this.#kept.get(account);
    if (kept?.position === now.position && kept.forgotten === now.forgotten) return kept;
    const read = await readJoinedRooms(tx, account, now.position);
    this.#kept.set(account, { ...read, position: now.position, forgotten: now.forgotten });
    return read;
  }
}

/** At the context's position. */
export function joinedRooms({ tx, account, to, kept }: Context): Promise<JoinedRooms> {
  return kept.now.position === to ? kept.joined.read(tx, account, kept.now) : readJoinedRooms(tx, account, to);
}

async function readJoinedRooms(tx: Tx, account: AccountNo, at: Position): Promise<JoinedRooms> {
  const [rooms, now] = await Promise.all([joinedFactsAt(tx, account, at), roomsNow(tx, account, "all")]);
  return { rooms, now, orders: new LRUCache({ max: MAX_ORDERS }) };
}
