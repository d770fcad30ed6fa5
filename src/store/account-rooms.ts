/** All rooms of an account as they are now, for sliding sync's lists: facts and standing together. */

import type { AccountNo, Position, RoomId, UserId } from "../wire/ids.ts";
import { isRoomId } from "../wire/matrix-id.ts";
import { byKey, type Db } from "./db.ts";
import { type Membership, NO_FACTS, parseFacts, type RoomFacts } from "./room-facts.ts";

/** Ordinals are those of `standings`. */
export type AccountRoom = {
  readonly roomId: RoomId;
  readonly membership: Membership;
  readonly facts: RoomFacts;
  /** Position at which the facts last changed. */
  readonly factsOrd: number;
  readonly changedOrd: number;
  readonly membershipOrd: number;
  readonly activeOrd: number;
  readonly bumpOrd: number;
  readonly kicked: boolean;
  readonly everJoined: boolean;
  readonly inviter: UserId | null;
  /** State or a member last ended here without another in its place. */
  readonly endedOrd: number;
  /** Left so long ago that its timeline and state are deleted. */
  readonly purged: boolean;
};

/** A room that was left so long ago that retention has deleted its facts; that it was left may still have to be sent. */
const FORGOTTEN_FACTS: RoomFacts = { ...NO_FACTS, bare: true };

/** The first three are null for a room without facts. */
type AccountRoomRecord = {
  room_id: RoomId;
  membership: Membership | null;
  facts: string | null;
  from_ord: number | null;
  changed_ord: number;
  membership_ord: number;
  active_ord: number;
  bump_ord: number;
  kicked: boolean;
  ever_joined: boolean;
  inviter: UserId | null;
  ended_ord: number;
};

/** Older versions stored rooms under invalid ids: such rooms are not sent (N6). */
export const hasRoomId = (row: { readonly room_id: RoomId }): boolean => isRoomId(row.room_id);

/** The rooms that changed after `after` (0: all rooms), as they are now. */
export async function readAccountRooms(db: Db, account: AccountNo, after: Position | 0): Promise<AccountRoom[]> {
  const rows = await db<AccountRoomRecord[]>`
    select s.room_id, f.membership, f.facts, f.from_ord, s.changed_ord, s.membership_ord, s.active_ord, s.bump_ord, s.kicked, s.ever_joined, s.inviter,
      s.ended_ord
    from standings s
    left join lateral (
      select * from room_facts f where f.account = s.account and f.room_id = s.room_id and f.to_ord = 9223372036854775807 ${byKey(db)}) f on true
    where s.account = ${account} and s.changed_ord > ${after === 0 ? -1 : after}`;
  return rows.filter(hasRoomId).map((row) => ({
    roomId: row.room_id,
    membership: row.membership ?? "leave",
    facts: row.facts === null ? FORGOTTEN_FACTS : parseFacts(row.facts),
    factsOrd: row.from_ord ?? row.membership_ord,
    changedOrd: row.changed_ord,
    membershipOrd: row.membership_ord,
    activeOrd: row.active_ord,
    bumpOrd: row.bump_ord,
    kicked: row.kicked,
    everJoined: row.ever_joined,
    inviter: row.inviter,
    endedOrd: row.ended_ord,
    purged: row.facts === null,
  }));
}
