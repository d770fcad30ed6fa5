/**
 * All rooms of an account in the order of lists, kept in memory from one evaluation to the next and brought up to date by what changed.
 * A cache: it is bounded, may vanish at any time, and each version of it is for one position and never changes.
 */

import { LRUCache } from "lru-cache";
import { type AccountRoom, readAccountRooms } from "../../store/account-rooms.ts";
import type { Tx } from "../../store/db.ts";
import type { AccountNo, Position, RoomId } from "../../wire/ids.ts";

export type AccountRooms = {
  readonly position: Position;
  readonly byId: ReadonlyMap<RoomId, AccountRoom>;
  /** Newest activity first (MSC4186, "Activity ordering"). */
  readonly sorted: readonly AccountRoom[];
};

type Version = AccountRooms & { readonly forgotten: number };

/** Rooms of all accounts together. A room takes about a kilobyte. */
const MAX_ROOMS = 200_000;

export class AccountRoomsCache {
  readonly #versions = new LRUCache<AccountNo, Version>({ maxSize: MAX_ROOMS, sizeCalculation: (version) => version.byId.size + 1 });

  /**
   * The account's rooms as `tx` sees them. What changed is asked for at once, together with `head`, which says for which position
   * and count of forgotten rooms that is; null: there is no such account.
   */
  async read(
    tx: Tx,
    account: AccountNo,
    head: Promise<{ readonly position: Position; readonly forgotten: number } | null>,
  ): Promise<AccountRooms | null> {
    const known = this.#versions.get(account);
    const [at, changed] = await Promise.all([head, readAccountRooms(tx, account, known?.position ?? 0)]);
    if (!at) return null;
    const usable = known?.forgotten === at.forgotten && known.position <= at.position;
    if (usable && known.position === at.position) return known;
    const rooms = usable ? merged(known, changed) : merged(undefined, known ? await readAccountRooms(tx, account, 0) : changed);
    const version = { ...rooms, position: at.position, forgotten: at.forgotten };
    // Another evaluation may have been quicker, with a later moment.
    const newest = this.#versions.get(account);
    if (!newest || newest.forgotten !== at.forgotten || newest.position < at.position) this.#versions.set(account, version);
    return version;
  }
}

function merged(known: AccountRooms | undefined, changed: readonly AccountRoom[]): Pick<AccountRooms, "byId" | "sorted"> {
  if (known && changed.length === 0) return known;
  const byId = new Map(known?.byId);
  for (const room of changed) byId.set(room.roomId, room);
  return { byId, sorted: [...byId.values()].sort((a, b) => b.activeOrd - a.activeOrd) };
}
