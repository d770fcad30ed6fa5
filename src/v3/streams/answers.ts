/** What each stream answers, as values: v3/face writes them. What the homeserver said stays the text that it was. */

import type { InviteRow, ReceiptRow } from "../../store/ephemeral.ts";
import type { EventRow } from "../../store/event-row.ts";
import type { RoomFacts } from "../../store/room-facts.ts";
import type { RoomId } from "../../wire/ids.ts";
import type { StreamKey } from "../params.ts";

/** The user is not in the room (D18): beside what the stream still has to say, or alone. */
type Refusable = { readonly forbidden?: true };

export type TypingSet = {
  readonly room_id: RoomId;
  /** A list of user ids, as JSON text. */
  readonly users: string;
};

/** `p`: what was negotiated (R16), and the token of the next page. */
export type MembersAnswer = {
  readonly events: readonly EventRow[];
  readonly p?: { readonly limit: number; readonly sort: string; readonly next?: string | undefined };
};

export const COUNTS = ["notification_count", "highlight_count", "joined_count", "invited_count"] as const satisfies readonly (keyof RoomFacts)[];

/** A room of the room stream (S4). Absent: nothing new. */
export type RoomAnswer = {
  readonly initial: boolean;
  /** `before`: the event that it is the state before, where the client named it. */
  readonly state?: { readonly events: readonly EventRow[]; readonly before: string | undefined };
  readonly members?: MembersAnswer;
  readonly timeline?: { readonly events: readonly EventRow[]; readonly limited: boolean; readonly prevBatch: string };
  readonly counts: readonly (readonly [(typeof COUNTS)[number], number])[];
};

/** A room as the room list shows it (S5). */
export type Entry = {
  readonly roomId: RoomId;
  /** By name of the member; null: there is none any more. */
  readonly facts: readonly (readonly [string, unknown])[];
  /** Of lists that are sorted by it. */
  readonly spaceOrder?: { readonly order: string | null; readonly origin_server_ts: number };
  readonly recency: number;
  readonly state?: readonly EventRow[];
  readonly timeline?: { readonly events: readonly EventRow[]; readonly limited: boolean; readonly prevBatch: string };
};

/** Of a room that was not sent: how many events notify, and which. */
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

export type Answers = {
  /** Messages as JSON texts. */
  readonly to_device: { readonly limit: number; readonly events: readonly string[] };
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

/** What a request is answered. */
export type SyncAnswer = {
  /** In the order of the answer. */
  readonly parts: readonly AnswerPart[];
  /** False: the account's first v2 answer is still awaited (D23). */
  readonly complete: boolean;
  readonly next: string;
  /** From when ages of events are counted, ms since the epoch. */
  readonly now: number;
};
