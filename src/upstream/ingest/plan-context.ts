/** What every part of the planner needs: the account, and what is known, indexed for quick look-ups. */

import type { AccountDataKey, KnownRows, KnownEvent, KnownMember, KnownRoom, KnownState, NewestEvent } from "../../store/ingest/known.ts";
import type { OwnBodyWrite } from "../../store/ingest/row-types.ts";
import type { EventId, RoomId, UserId } from "../../wire/ids.ts";
import type { AccountDataItem } from "../../wire/v2-response.ts";

/** Data that only some rooms need: see needs.ts. */
export type Extra = {
  /** All open state of rooms that come from scratch. */
  readonly fullState: ReadonlyMap<RoomId, readonly KnownState[]>;
  readonly counts: ReadonlyMap<RoomId, { readonly joined: number; readonly invited: number }>;
  readonly standIns: ReadonlyMap<RoomId, readonly KnownMember[]>;
  readonly newest: ReadonlyMap<RoomId, NewestEvent>;
};

export type PlanContext = {
  readonly me: UserId;
  /** When the response arrived, ms. */
  readonly now: number;
  /** Stored rooms come from scratch: the account's since was lost (D26), or they were stored early. */
  readonly reset: boolean;
  /** It is the account's first sync, and single rooms were stored before it (early-rooms.ts). */
  readonly early: boolean;
  /** It is the first sync after the homeserver was restored from a backup (T3). */
  readonly restored: boolean;
  /** The account has a feed, and was synced before (S6). */
  readonly feed: boolean;
  /** Rooms that exist although the response has no section for them: theirs was set aside. */
  readonly present: ReadonlySet<RoomId>;
  /** Rooms that the response has in full, from scratch: they were read from the homeserver again. */
  readonly reread: ReadonlySet<RoomId>;
  /** Account data of rooms that are in the join section, and not joined (aside.ts). */
  readonly aside: ReadonlyMap<RoomId, readonly AccountDataItem[]>;
  readonly ignored: readonly UserId[];
  readonly known: KnownIndex;
  /** Own copies of bodies that the account gets or no longer has (T6). */
  readonly ownBodies: readonly OwnBodyWrite[];
  readonly extra: Extra;
  /** Rooms of m.direct, if it is known; null: rooms stay as they are. `isInResponse`: the response has m.direct. */
  readonly direct: { readonly rooms: ReadonlySet<string>; readonly isInResponse: boolean } | null;
};

export class KnownIndex {
  readonly rooms: ReadonlyMap<RoomId, KnownRoom>;
  readonly seen: ReadonlyMap<RoomId, ReadonlyMap<EventId, number>>;
  readonly state: ReadonlyMap<RoomId, readonly KnownState[]>;
  readonly members: ReadonlyMap<RoomId, readonly KnownMember[]>;
  readonly redacted: ReadonlyMap<RoomId, readonly KnownEvent[]>;
  readonly presence: ReadonlyMap<UserId, string>;
  readonly profiles: ReadonlyMap<UserId, KnownRows["profiles"]>;
  readonly #receipts: ReadonlyMap<string, KnownRows["receipts"][number]>;
  readonly #accountData: ReadonlyMap<string, string>;

  constructor(known: KnownRows) {
    this.rooms = new Map(known.rooms.map((room) => [room.room_id, room]));
    const seen = new Map<RoomId, Map<EventId, number>>();
    for (const row of known.seen) {
      const room = seen.get(row.room_id);
      if (room) room.set(row.event_id, Math.max(row.ord, room.get(row.event_id) ?? 0));
      else seen.set(row.room_id, new Map([[row.event_id, row.ord]]));
    }
    this.seen = seen;
    this.state = Map.groupBy(known.state, (row) => row.room_id);
    this.members = Map.groupBy(known.members, (row) => row.room_id);
    this.redacted = Map.groupBy(known.redacted, (row) => row.room_id);
    this.profiles = Map.groupBy(known.profiles, (row) => row.user_id);
    this.presence = new Map(known.presence.map((row) => [row.user_id, row.body]));
    this.#receipts = new Map(known.receipts.map((row) => [key(row.room_id, row.user_id, row.kind, row.thread_id), row]));
    this.#accountData = new Map(known.accountData.map((row) => [key(row.room_id, row.type), row.body]));
  }

  /** What is known of a room, or the values for an unknown one. */
  room(room_id: RoomId): KnownRoom {
    return (
      this.rooms.get(room_id) ?? {
        room_id,
        last_ord: 0,
        last_ts: 0,
        members: "none",
        unsure_ord: 0,
        pending_gap: false,
        membership: null,
        facts: null,
        typing: null,
        pending: null,
        standing: null,
      }
    );
  }

  receipt(room: RoomId, user: UserId, kind: string, thread: string): KnownRows["receipts"][number] | undefined {
    return this.#receipts.get(key(room, user, kind, thread));
  }

  /** The body of an account data event; room '' is global. */
  accountData(room: AccountDataKey["room_id"], type: string): string | undefined {
    return this.#accountData.get(key(room, type));
  }
}

function key(...parts: readonly string[]): string {
  return JSON.stringify(parts);
}
