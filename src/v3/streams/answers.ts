/** What each stream answers, as values: v3/face writes them as JSON. What the homeserver sent stays text. */

import type { InviteRow, ReceiptRow } from "../../store/ephemeral.ts";
import type { EventRow } from "../../store/event-row.ts";
import type { RoomHero } from "../../store/background-asks.ts";
import type { RoomFacts } from "../../store/room-facts.ts";
import type { EventId, RoomId } from "../../wire/ids.ts";
import type { StreamKey } from "../params.ts";

/** The user may not see the room (D18): after the last of what the stream has to send, or alone. */
type Refusable = { readonly forbidden?: true };

export type TypingSet = {
  readonly room_id: RoomId;
  /** A list of user ids, as JSON text. */
  readonly users: string;
};

/** `p`: the negotiated parameters (R16), and the token of the next page. */
export type MembersAnswer = {
  readonly events: readonly EventRow[];
  readonly p?: { readonly limit: number; readonly sort: string; readonly next?: string | undefined };
};

export const COUNTS = ["notification_count", "highlight_count", "joined_count", "invited_count"] as const satisfies readonly (keyof RoomFacts)[];

/** A room of the room stream (S4). Absent: nothing new. */
export type RoomAnswer = {
  readonly initial: boolean;
  /** `before`: the event that the state precedes, if the client named it. */
  readonly state?: { readonly events: readonly EventRow[]; readonly before: string | undefined };
  readonly members?: MembersAnswer;
  readonly timeline?: { readonly events: readonly EventRow[]; readonly limited: boolean; readonly prevBatch: string };
  readonly counts: readonly (readonly [(typeof COUNTS)[number], number])[];
};

/** A room as the room list shows it (S5). */
export type Entry = {
  readonly roomId: RoomId;
  /** By member name; null: the room has it no more. */
  readonly facts: readonly (readonly [string, unknown])[];
  /** Only in lists that are sorted by it. */
  readonly spaceOrder?: { readonly order: string | null; readonly origin_server_ts: number };
  readonly recency: number;
  readonly state?: readonly EventRow[];
  readonly timeline?: { readonly events: readonly EventRow[]; readonly limited: boolean; readonly prevBatch: string };
  /** Not sent: heroes of a room without a name of which only the id is known (T14). */
  readonly unknownHeroes?: readonly RoomHero[];
};

/** A room outside the active set: how many events notify, and which ones. */
export type Notification = {
  readonly roomId: RoomId;
  readonly notifications: number;
  readonly highlights: number;
  readonly encrypted: boolean;
  readonly events: readonly EventRow[];
};

export type ListAnswer = {
  readonly entries: readonly Entry[];
  readonly count: number;
  readonly p: { readonly limit: number; readonly sort: readonly string[]; readonly next?: string | undefined };
  readonly removed?: readonly RoomId[];
  readonly notifications?: readonly Notification[];
};

/**
 * What is next in the feed (S6): an event, or a gap in a room, after one event and before another (null: there is none to be named). `prevBatch`: right
 * before the latter, or somewhat later.
 */
export type FeedEntry =
  | { readonly place: number; readonly event: EventRow }
  | {
      readonly place: number;
      readonly gap: { readonly roomId: RoomId; readonly after: EventId | null; readonly before: EventId | null; readonly prevBatch: string };
    };

export type Answers = {
  /** Messages as JSON texts. */
  readonly to_device: { readonly limit: number; readonly events: readonly string[] };
  readonly feed: { readonly limit: number; readonly entries: readonly FeedEntry[] };
  readonly room_list: ListAnswer;
  readonly room: { readonly rooms?: ReadonlyMap<RoomId, RoomAnswer> } & Refusable;
  readonly room_members: Partial<MembersAnswer> & Refusable;
  readonly typing: { readonly sets?: readonly TypingSet[] } & Refusable;
  readonly receipts: { readonly rows?: readonly ReceiptRow[] } & Refusable;
  /** Events as JSON texts. */
  readonly account_data: { readonly global?: readonly string[]; readonly rooms?: ReadonlyMap<RoomId, readonly string[]> };
  readonly presence: { readonly events: readonly string[] };
  readonly invites: { readonly pending?: readonly InviteRow[]; readonly gone?: readonly RoomId[] };
  /** `keys`: JSON texts. */
  readonly e2ee: {
    readonly lists?: { readonly changed: readonly string[]; readonly left: readonly string[] };
    readonly keys?: { readonly oneTime: string; readonly fallback: string | null };
  };
};

/** A stream's part of an answer. */
export type AnswerPart = { readonly [Key in StreamKey]: { readonly key: Key; readonly answer: Answers[Key] } }[StreamKey];

/** The answer to a request. */
export type SyncAnswer = {
  /** In the order of the answer. */
  readonly parts: readonly AnswerPart[];
  /** False: the account's first v2 response is not stored yet (D23). */
  readonly complete: boolean;
  readonly next: string;
  /** The time that ages of events refer to, ms since the epoch. */
  readonly now: number;
};

/** The rooms that lists send, and those that the room stream sends in full. */
export function shownRoomsIn(parts: readonly AnswerPart[]): RoomId[] {
  return parts.flatMap((part) => {
    if (part.key === "room_list") return part.answer.entries.map((entry) => entry.roomId);
    return part.key === "room" ? [...(part.answer.rooms ?? [])].filter(([, room]) => room.initial).map(([roomId]) => roomId) : [];
  });
}

/** See Entry.unknownHeroes. */
export function unknownHeroesIn(parts: readonly AnswerPart[]): RoomHero[] {
  const entries = parts.flatMap((part) => (part.key === "room_list" ? part.answer.entries : []));
  return entries.flatMap((entry) => entry.unknownHeroes ?? []);
}
