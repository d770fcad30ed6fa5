/** What one batch writes: rows as the planner makes them and write.ts stores them. Their members are named like the columns. */

import type { AccountNo, DeviceNo, EventId, RoomId, UserId } from "../../wire/ids.ts";
import type { Relation } from "../../wire/event.ts";
import type { Membership, RoomFacts } from "../room-facts.ts";

/** The to_ord of an open row. A text, because a number cannot hold it. */
export const OPEN = "9223372036854775807";

export type EventWrite = {
  readonly event_id: EventId;
  readonly type: string;
  readonly state_key: string | null;
  readonly sender: UserId;
  readonly ts: number;
  /** See CutEvent. */
  readonly relation: Relation | null;
  /** As the account sees it. */
  readonly body: string;
  readonly pruned: boolean;
  /** The body that accounts share, if it is another one (T6); else null. */
  readonly shared: string | null;
};

/** An account's own copy of a body that differs from the shared one (T6); `body` null: it has none any more. */
export type OwnBodyWrite = { readonly event_id: EventId; readonly room_id: RoomId; readonly body: string | null };

export type TimelineWrite = {
  readonly ord: number;
  readonly room_id: RoomId;
  readonly event_id: EventId;
  readonly unsigned: string | null;
  /** What the homeserver bundled with it, right up to the batch's end. */
  readonly relations: string | null;
  readonly age_ts: number | null;
  readonly txn_id: string | null;
  /** See CutEvent. */
  readonly sticky_until: number | null;
  readonly gap: boolean;
  readonly prev_batch: string | null;
  readonly notify: boolean;
};

/** A new state row; `to_ord` null: open. */
export type StateWrite = {
  readonly room_id: RoomId;
  readonly type: string;
  readonly state_key: string;
  readonly from_ord: number;
  readonly to_ord: number | null;
  readonly event_id: EventId;
  readonly unsigned: string | null;
  readonly age_ts: number | null;
};

export type MemberWrite = {
  readonly room_id: RoomId;
  readonly user_id: UserId;
  readonly from_ord: number;
  readonly to_ord: number | null;
  readonly event_id: EventId;
  readonly membership: string;
  readonly was: string | null;
  readonly sort_name: string;
  readonly learned: boolean;
  readonly unsigned: string | null;
  readonly age_ts: number | null;
};

/** Ends the stored open row. */
export type StateEnd = { readonly room_id: RoomId; readonly type: string; readonly state_key: string; readonly to_ord: number };
export type MemberEnd = { readonly room_id: RoomId; readonly user_id: UserId; readonly to_ord: number };
/** Ends every open member row of the room that began by `before`, except those of `keep`. */
export type MembersEnd = { readonly room_id: RoomId; readonly to_ord: number; readonly before: number; readonly keep: readonly UserId[] };

export type RoomWrite = {
  readonly room_id: RoomId;
  readonly last_ord: number;
  readonly last_ts: number;
  readonly members: MembersKnown;
  readonly unsure_ord: number;
  readonly pending_gap: boolean;
};
/** A room's row of `standings`. */
export type StandingWrite = {
  readonly room_id: RoomId;
  readonly changed_ord: number;
  readonly membership_ord: number;
  readonly active_ord: number;
  readonly bump_ord: number;
  readonly kicked: boolean;
  readonly ever_joined: boolean;
  readonly inviter: UserId | null;
  readonly ended_ord: number;
};
export type MembersKnown = "none" | "complete" | "stale";

export type FactsWrite = { readonly room_id: RoomId; readonly from_ord: number; readonly membership: Membership; readonly facts: string };
export type TypingWrite = { readonly room_id: RoomId; readonly users: string; readonly ord: number };
export type ReceiptWrite = {
  readonly room_id: RoomId;
  readonly user_id: UserId;
  readonly kind: string;
  readonly thread_id: string;
  readonly event_id: EventId;
  readonly data: string;
  readonly ord: number;
};
/** `room_id` '': global. */
export type AccountDataWrite = { readonly room_id: RoomId | ""; readonly type: string; readonly body: string; readonly ord: number };
/** `at`: when it arrived, ms since the epoch. */
export type PresenceWrite = { readonly user_id: UserId; readonly body: string; readonly ord: number; readonly at: number };
/** A field of a user's profile (MSC4429): see sql/0029_profiles.sql. */
export type ProfileWrite = { readonly user_id: UserId; readonly field: string; readonly value: string | null; readonly ord: number };
export type InviteWrite = {
  readonly room_id: RoomId;
  readonly kind: "invite" | "knock";
  readonly body: string;
  readonly inviter: UserId | null;
  readonly ord: number;
};
export type InviteEnd = { readonly room_id: RoomId; readonly ord: number };

/** A sticky event (MSC4354). Its ordinal is the newest: it may have been stored before. */
export type StickyWrite = {
  readonly ord: number;
  readonly room_id: RoomId;
  readonly event_id: EventId;
  readonly unsigned: string | null;
  readonly age_ts: number | null;
  readonly sticky_until: number;
};
/** A room that the user left: its sticky events are deleted. */
export type StickyEnd = { readonly room_id: RoomId };

/** A stored event that is redacted now: its pruned body, and `unsigned` for this account's rows of it. */
export type RedactionWrite = {
  readonly event_id: EventId;
  readonly body: string;
  readonly unsigned: string | null;
  /** For member rows: the sort name once the display name is gone, from `ord` on: older snapshots keep their order. */
  readonly sort_name: string | null;
  readonly ord: number | null;
};

/** A ban that may have redacted the user's events (T5). */
export type BanWrite = { readonly event_id: EventId };

export type ToDeviceWrite = {
  readonly seq: number;
  readonly before_pos: number;
  readonly body: string;
  /** Base64: the message, if the database refuses its text; `body` is empty then. Otherwise null. */
  readonly bytes: string | null;
  readonly hash: string;
};
export type PassedWrite = { readonly hash: string; readonly times: number };
/** `shared`: it came with the account's room poll, which distributes it to every device. */
export type DeviceListWrite = { readonly user_id: UserId; readonly kind: "changed" | "left"; readonly seq: number; readonly shared: boolean };

/** What belongs to the device, independent of the rest of the response. Hashes are hex. */
export type DeviceWrites = {
  /** null: it was not polled yet. */
  readonly since: string | null;
  readonly seq: number;
  readonly one_time_keys: string;
  readonly fallback_keys: string | null;
  readonly counts_seq: number;
  readonly toDevice: readonly ToDeviceWrite[];
  /** Copies that were dropped, to be deducted from to_device_passed. */
  readonly passed: readonly PassedWrite[];
  readonly deviceLists: readonly DeviceListWrite[];
};

/** A row of the timeline that is recorded for feeds (S6). */
export type FeedEventWrite = { readonly ord: number };
/** A gap before a row that is recorded for feeds. `from_join`: it begins with the user's own join. `prev_batch` null: that after the batch is used. */
export type FeedGapWrite = { readonly room_id: RoomId; readonly ord: number; readonly from_join: boolean; readonly prev_batch: string | null };

/** What belongs to the account. `position` is the new one. */
export type RoomWrites = {
  readonly position: number;
  /** null: unchanged. */
  readonly ignored: string | null;
  /** Users who are no longer ignored (T2). */
  readonly unignored: readonly { readonly user_id: UserId }[];
  /** The account's homeserver was restored from a backup: sessions and connections end (T3). */
  readonly endSessions: boolean;
  readonly events: readonly EventWrite[];
  readonly ownBodies: readonly OwnBodyWrite[];
  readonly timeline: readonly TimelineWrite[];
  readonly state: readonly StateWrite[];
  readonly stateEnds: readonly StateEnd[];
  readonly members: readonly MemberWrite[];
  readonly memberEnds: readonly MemberEnd[];
  readonly membersEnds: readonly MembersEnd[];
  readonly rooms: readonly RoomWrite[];
  readonly facts: readonly FactsWrite[];
  readonly standings: readonly StandingWrite[];
  readonly typing: readonly TypingWrite[];
  readonly receipts: readonly ReceiptWrite[];
  readonly accountData: readonly AccountDataWrite[];
  readonly presence: readonly PresenceWrite[];
  readonly profiles: readonly ProfileWrite[];
  readonly invites: readonly InviteWrite[];
  readonly inviteEnds: readonly InviteEnd[];
  readonly stickyEvents: readonly StickyWrite[];
  readonly stickyEnds: readonly StickyEnd[];
  readonly redactions: readonly RedactionWrite[];
  readonly bans: readonly BanWrite[];
  readonly feedEvents: readonly FeedEventWrite[];
  readonly feedGaps: readonly FeedGapWrite[];
};

/** A batch as it was stored, handed over to its readers in the same process. */
export type StoredBatch = {
  readonly account: AccountNo;
  /** The device whose poll brought it. */
  readonly device: DeviceNo;
  /** The account's position before it; `writes.position` is the one after it. */
  readonly from: number;
  /** The upstream token at its end. */
  readonly since: string;
  /** accounts.forgotten. */
  readonly forgotten: number;
  readonly writes: RoomWrites;
  /** The previous facts of the rooms where they changed; a new room has none. */
  readonly factsBefore: ReadonlyMap<RoomId, RoomFacts>;
};
