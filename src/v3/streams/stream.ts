/**
 * What a stream is: one key of the request and the answer (R4, R13).
 *
 * Terminology
 *   parameters  what the client asked for, merged and validated; `resolve` gives them their defaults and bounds (D17).
 *   selection   the parameters whose change starts the stream anew (D13).
 *   memory      what a session's token remembers of the stream besides parameters: JSON, immutable, small.
 *   start       the first evaluation of a stream, or of a room in it: the whole of what is there now.
 *   delta       what came after the token's places, up to `to`.
 *   news        something that answers a waiting request (D7).
 *   need        something to be fetched from the homeserver before the stream can be told (D24).
 */

import type { Answers } from "./answers.ts";
import type { JoinedRoomsCache, Moment } from "./joined-rooms.ts";
import type { RoomCache } from "../../sync/room-cache.ts";
import type { WholeRoom } from "./whole-room.ts";
import type { WakeKind } from "../../feed/hub.ts";
import type { Need } from "../../sync/fetch-need.ts";
import type { Tx } from "../../store/db.ts";
import type { ParamsOf, StreamKey } from "../params.ts";
import type { ListSnapshot } from "../../store/sessions.ts";
import type { AccountNo, DeviceNo, Position, RoomId, SessionNo, UserId } from "../../wire/ids.ts";

/** Cursors in a device's and an account's sequences: those of a token. */
export type Cursors = {
  readonly position: Position;
  readonly toDevice: number;
  readonly e2ee: number;
  readonly members: Position;
};

/** The rooms that the session's room_list stream tracks, after this evaluation: its active set (S5). */
export type Tracked = {
  /** The ones that were tracked before and still are. */
  readonly kept: readonly RoomId[];
  /** The ones that join with this answer: they start in every stream that follows `"room_list"`. */
  readonly added: readonly RoomId[];
  /** The ones that leave with it. */
  readonly removed: readonly RoomId[];
};

export const NOTHING_TRACKED: Tracked = { kept: [], added: [], removed: [] };

/** A page token without what binds it to its session and snapshot, which the engine adds. */
export type PageCursor =
  | {
      readonly stream: "room_members";
      readonly roomId: RoomId;
      readonly membership: readonly string[];
      readonly sort: string;
      readonly after: string;
    }
  | { readonly stream: "room_list"; readonly selection: string; readonly snapshot: number; readonly offset: number };

/** What is kept in memory from one evaluation to the next: all rooms that users are in, and how lists tell them. */
export type ListCaches = { readonly joined: JoinedRoomsCache; readonly whole: RoomCache<WholeRoom> };

/** One evaluation's view of the database and the session. Everything is read up to `to`, in one read transaction. */
export type Context = {
  readonly tx: Tx;
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly session: SessionNo;
  readonly userId: UserId;
  /** Where the token stands; zeros on a session's first request. */
  readonly from: Cursors;
  /** The account's position that this evaluation tells up to. */
  readonly to: Position;
  /** devices.seq now. */
  readonly deviceSeq: number;
  /** The newest upstream token: a `prev_batch` that stands behind every event. */
  readonly upstreamSince: string;
  /** See PagingContext. */
  readonly ownTokens: boolean;
  readonly ignored: readonly UserId[];
  /** What is kept in memory of rooms, and the moment that counts as now. */
  readonly kept: ListCaches & { readonly now: Moment };
  readonly tracked: Tracked;
  /** Rooms that page answers sent since the token's state, each as it was at a position (D14). */
  readonly pageRooms: readonly { readonly roomId: RoomId; readonly position: Position }[];
  /** Needs that were already fetched, or could not be: never asked for again in this request. */
  readonly tried: ReadonlySet<string>;
  /** Those of them that are still being fetched: what waits for one is left out (D24). */
  readonly late: ReadonlySet<string>;
  /** ms since the epoch. */
  readonly now: number;
  sealPage(place: PageCursor): string;
};

/** How a stream of one room stands to it: see gate.ts. */
export type GatePhase = "live" | "forbidden";

/** JSON-able, and never mutated: what the streams remember, each its own part of it. */
export type Memory = {
  /** Streams of one room: see gate.ts. */
  readonly phase?: GatePhase;
  /** room: rooms that start in a later answer. */
  readonly pending?: readonly RoomId[];
  /** room_members, room_list: the hash of page one, where that was the last answer (D16). */
  readonly page?: string;
  /** room_list: the rooms that were sent, sorted by id. */
  readonly sent?: readonly RoomId[];
  /** room_list with spaces: their children that match, sorted by id: the active set, sent or not. */
  readonly children?: readonly RoomId[];
  /** to_device: messages up to this seq do not hold up other streams (D19). */
  readonly since?: number;
};

/** What a stream remembers before an answer, and after it if nothing has to wait. */
export type MemoryChange = { readonly before: Memory | undefined; readonly after: Memory };

export type Evaluation<Key extends StreamKey = StreamKey> = {
  /** The stream's part of the answer; null: absent. */
  readonly answer: Answers[Key] | null;
  /** Whether `answer` is worth ending a wait for. False with an answer: it goes along when there is one anyway. */
  readonly news: boolean;
  /** What the next token remembers; undefined: the stream has not started. */
  readonly memory: Memory | undefined;
  readonly places?: Partial<Cursors>;
  readonly needs?: readonly Need[];
  /** room_list only. */
  readonly tracked?: Tracked;
  /** room_list only: a new list snapshot to be kept under this number. */
  readonly snapshot?: ListSnapshot;
};

export const NO_NEWS = { answer: null, news: false } as const;

/** The parameters of a paginatable stream's request that are never sticky. */
export type PageRequest = { readonly since: string; readonly limit?: number | undefined };

export interface Stream<Key extends StreamKey, Params> {
  readonly key: Key;
  /** Wake-ups of other kinds can bring no news (D7). */
  readonly kinds: ReadonlySet<WakeKind>;
  /** Defaults and bounds (D17). */
  resolve(asked: ParamsOf<Key>): Params;
  selection(params: Params): unknown;
  /**
   * @param memory what the token remembers; undefined where the stream starts (D13).
   * @param firstPage the request said `p.since = "1"` (D16).
   */
  evaluate(context: Context, params: Params, memory: Memory | undefined, firstPage: boolean): Promise<Evaluation<Key>>;
}

export type AnyStream = Stream<StreamKey, unknown>;

/** D17: absent, zero or negative is the default; more than the maximum is the maximum. */
export function clampLimit(asked: number | undefined, fallback: number, maximum: number): number {
  return asked !== undefined && asked > 0 ? Math.min(asked, maximum) : fallback;
}
