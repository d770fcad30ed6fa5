/** A batch while it is planned: its ordinals, its rows so far, and what it is news of. */

import type { WakeKind } from "../../feed/hub.ts";
import type { RoomFacts, Membership } from "../../store/room-facts.ts";
import type {
  BanWrite,
  AccountDataWrite,
  EventWrite,
  FactsWrite,
  FeedEventWrite,
  FeedGapWrite,
  InviteEnd,
  InviteWrite,
  MemberEnd,
  MemberWrite,
  MembersEnd,
  OwnBodyWrite,
  PresenceWrite,
  ProfileWrite,
  ReceiptWrite,
  RedactionWrite,
  RoomWrite,
  RoomWrites,
  StandingWrite,
  StateEnd,
  StateWrite,
  StickyEnd,
  StickyWrite,
  TimelineWrite,
  TypingWrite,
} from "../../store/ingest/row-types.ts";
import type { ReplacedState } from "../../store/ingest/replaced.ts";
import type { KnownRoomRow } from "../../store/ingest/known.ts";
import type { EventId, RoomId, UserId } from "../../wire/ids.ts";

export type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class Draft {
  /** The position before the batch. */
  readonly start: number;
  readonly kinds = new Set<WakeKind>();
  readonly newsOf = new Set<RoomId>();
  readonly events = new Map<EventId, Mutable<EventWrite>>();
  readonly ownBodies: OwnBodyWrite[] = [];
  readonly timeline: Mutable<TimelineWrite>[] = [];
  readonly state: Mutable<StateWrite>[] = [];
  readonly stateEnds: StateEnd[] = [];
  readonly members: Mutable<MemberWrite>[] = [];
  readonly memberEnds: MemberEnd[] = [];
  readonly membersEnds: MembersEnd[] = [];
  readonly rooms: RoomWrite[] = [];
  readonly facts: FactsWrite[] = [];
  readonly standings: StandingWrite[] = [];
  readonly typing: TypingWrite[] = [];
  readonly receipts: ReceiptWrite[] = [];
  readonly accountData: AccountDataWrite[] = [];
  readonly presence: PresenceWrite[] = [];
  readonly profiles: ProfileWrite[] = [];
  readonly invites: InviteWrite[] = [];
  readonly inviteEnds: InviteEnd[] = [];
  readonly stickyEvents = new Map<EventId, Mutable<StickyWrite>>();
  readonly stickyEnds: StickyEnd[] = [];
  readonly redactions = new Map<EventId, RedactionWrite>();
  readonly redactedRooms = new Set<RoomId>();
  readonly bans: BanWrite[] = [];
  readonly feedEvents: FeedEventWrite[] = [];
  readonly feedGaps: FeedGapWrite[] = [];
  readonly replaced: ReplacedState[] = [];
  ignored: readonly UserId[] | null = null;
  unignored: RoomWrites["unignored"] = [];
  endSessions = false;
  #last: number;

  constructor(position: number) {
    this.start = position;
    this.#last = position;
  }

  /** The last ordinal used; once the batch is complete, the new position. */
  get last(): number {
    return this.#last;
  }

  /** The next ordinal, for a change of that kind (in that room). */
  next(kind: WakeKind, room?: RoomId): number {
    this.kinds.add(kind);
    if (room !== undefined) this.newsOf.add(room);
    this.#last += 1;
    return this.#last;
  }

  /** Changed facts get a row, with an ordinal of its own; unchanged ones get none. */
  putFacts(room: KnownRoomRow, membership: Membership, facts: RoomFacts): void {
    const text = JSON.stringify(facts);
    if (room.membership === membership && room.facts !== null && JSON.stringify(room.facts) === text) return;
    this.facts.push({ room_id: room.room_id, from_ord: this.next("facts", room.room_id), membership, facts: text });
  }

  /** Writes the room's row if it differs from the stored one. */
  putRoom(stored: KnownRoomRow, row: RoomWrite): void {
    const same =
      stored.membership !== null &&
      stored.last_ord === row.last_ord &&
      stored.last_ts === row.last_ts &&
      stored.members === row.members &&
      stored.unsure_ord === row.unsure_ord &&
      stored.pending_gap === row.pending_gap;
    if (!same) this.rooms.push(row);
  }

  writes(): RoomWrites {
    return {
      position: this.#last,
      ignored: this.ignored === null ? null : JSON.stringify(this.ignored),
      unignored: this.unignored,
      endSessions: this.endSessions,
      events: [...this.events.values()],
      ownBodies: this.ownBodies,
      timeline: this.timeline,
      state: this.state,
      stateEnds: this.stateEnds,
      members: this.members,
      memberEnds: this.memberEnds,
      membersEnds: this.membersEnds,
      rooms: this.rooms,
      facts: this.facts,
      standings: this.standings,
      typing: this.typing,
      receipts: this.receipts,
      accountData: this.accountData,
      presence: this.presence,
      profiles: this.profiles,
      invites: this.invites,
      inviteEnds: this.inviteEnds,
      stickyEvents: [...this.stickyEvents.values()],
      stickyEnds: this.stickyEnds,
      redactions: [...this.redactions.values()],
      bans: this.bans,
      feedEvents: this.feedEvents,
      feedGaps: this.feedGaps,
    };
  }
}
