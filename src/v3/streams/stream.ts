/**
 * What a stream is: one key of the request and the answer (R4, R13).
 *
 * Terminology
 *   parameters  what the client asked for, merged and validated; `resolve` gives them their defaults and bounds (D17).
 *   selection   the parameters whose change starts the stream from scratch (D13).
 *   memory      what a session's token remembers of the stream besides parameters: JSON, immutable, small.
 *   start       the first evaluation of a stream, or of a room in it: everything that is there now.
 *   delta       what came after the token's cursors, up to `to`.
 *   news        something that ends a waiting request (D7).
 *   need        something to be fetched from the homeserver before the stream can be sent (D24).
 */

import type { Answers } from "./answers.ts";
import type { JoinedRoomsCache, Moment } from "./joined-rooms.ts";
import type { RoomCache } from "../../sync/room-cache.ts";
import type { FullRoom } from "./full-room.ts";
import type { WakeKind } from "../../feed/hub.ts";
import type { Need } from "../../sync/fetch-need.ts";
import type { RoomEvent } from "../../store/bundles.ts";
import type { Tx } from "../../store/db.ts";
import type { ParamsOf, StreamKey } from "../params.ts";
import type { ListSnapshot } from "../../store/sessions.ts";
import type { AccountNo, DeviceNo, Position, RoomId, SessionNo, UserId } from "../../wire/ids.ts";
import type { MessageRetention } from "../../wire/message-retention.ts";

/** A token's cursors in the sequences of a device and an account. */
export type Cursors = {
  readonly position: Position;
  readonly toDevice: number;
  readonly e2ee: number;
  readonly members: Position;
  readonly feed: Position;
};

/** The rooms that the session's room_list stream tracks after this evaluation: its active set (S5). */
export type Tracked = {
  /** Rooms that were tracked before and still are. */
  readonly staying: readonly RoomId[];
  /** Rooms that join with this answer: they start in every stream that follows `"room_list"`. */
  readonly added: readonly RoomId[];
  /** Rooms that leave with this answer. */
  readonly removed: readonly RoomId[];
};

export const NOTHING_TRACKED: Tracked = { staying: [], added: [], removed: [] };

/** A page token without what binds it to its session and snapshot; the engine adds that. */
export type PageCursor =
  | {
      readonly stream: "room_members";
      readonly roomId: RoomId;
      readonly membership: readonly string[];
      readonly sort: string;
      readonly after: string;
    }
  | { readonly stream: "room_list"; readonly selection: string; readonly snapshot: number; readonly offset: number };

/** Caches that outlive an evaluation: all rooms that users are in, and rooms as lists send them. */
export type ListCaches = { readonly joined: JoinedRoomsCache; readonly full: RoomCache<FullRoom> };

/** One evaluation's view of the database and the session. Everything is read up to `to`, in one read transaction. */
export type Context = {
  readonly tx: Tx;
  readonly account: AccountNo;
  readonly device: DeviceNo;
  readonly session: SessionNo;
  readonly userId: UserId;
  /** The token's cursors; zeros on a session's first request. */
  readonly from: Cursors;
  /** The account's position up to which this evaluation sends. */
  readonly to: Position;
  /** devices.seq now. */
  readonly deviceSeq: number;
  /** The newest upstream token: a `prev_batch` after every event. */
  readonly upstreamSince: string;
  /** See PagingContext. */
  readonly ownTokens: boolean;
  readonly ignored: readonly UserId[];
  /** See SessionHead. */
  readonly retention: MessageRetention | null;
  /** Has the homeserver asked what it bundles with these events now (T7). */
  readonly askBundles: (events: readonly RoomEvent[]) => void;
  /** The caches, and the moment that counts as now. */
  readonly cache: ListCaches & { readonly now: Moment };
  readonly tracked: Tracked;
  /** Rooms that page answers sent since the token's state, each as of a position (D14). */
  readonly pageRooms: readonly { readonly roomId: RoomId; readonly position: Position }[];
  /** Needs that were fetched, or could not be, in this request: they are not asked for again. */
  readonly tried: ReadonlySet<string>;
  /** Those of them that are still being fetched: rooms that need one are left out (D24). */
  readonly late: ReadonlySet<string>;
  /** ms since the epoch. */
  readonly now: number;
  sealPage(cursor: PageCursor): string;
};

/** The state of a stream that follows one room: see gate.ts. */
export type GatePhase = "live" | "forbidden";

/** What the streams remember; each uses its own members. Serializable as JSON, and never mutated. */
export type Memory = {
  /** Streams that follow one room: see gate.ts. */
  readonly phase?: GatePhase;
  /** room: rooms that start in a later answer. */
  readonly pending?: readonly RoomId[];
  /** room_members, room_list: the hash of page one, if that was the last answer (D16). */
  readonly page?: string;
  /** room_list: the rooms that were sent, sorted by id. */
  readonly sent?: readonly RoomId[];
  /** room_list with spaces: the children that match, sorted by id. They are the active set, whether sent or not. */
  readonly children?: readonly RoomId[];
  /** to_device: messages up to this seq do not hold back other streams (D19). */
  readonly since?: number;
};

/** A stream's memory before an answer, and the one after it unless something has to wait. */
export type MemoryChange = { readonly before: Memory | undefined; readonly after: Memory };

export type Evaluation<Key extends StreamKey = StreamKey> = {
  /** The stream's part of the answer; null: absent. */
  readonly answer: Answers[Key] | null;
  /** Whether `answer` ends a wait. If false, it is sent along with the next answer. */
  readonly news: boolean;
  /** What the next token remembers; undefined: the stream has not started. */
  readonly memory: Memory | undefined;
  readonly cursors?: Partial<Cursors>;
  readonly needs?: readonly Need[];
  /** room_list only. */
  readonly tracked?: Tracked;
  /** room_list only: a new list snapshot to be stored under this number. */
  readonly snapshot?: ListSnapshot;
};

export const NO_NEWS = { answer: null, news: false } as const;

/** The parameters of a page request, which are never sticky. */
export type PageRequest = { readonly since: string; readonly limit?: number | undefined };

export interface Stream<Key extends StreamKey, Params> {
  readonly key: Key;
  /** Wake-ups of other kinds bring no news (D7). */
  readonly kinds: ReadonlySet<WakeKind>;
  /** Defaults and bounds (D17). */
  resolve(asked: ParamsOf<Key>): Params;
  selection(params: Params): unknown;
  /**
   * @param memory what the token remembers; undefined if the stream starts (D13)
   * @param firstPage the request said `p.since = "1"` (D16)
   */
  evaluate(context: Context, params: Params, memory: Memory | undefined, firstPage: boolean): Promise<Evaluation<Key>>;
}

export type AnyStream = Stream<StreamKey, unknown>;

/** D17: absent, zero or negative is the default; more than the maximum is the maximum. */
export function clampLimit(asked: number | undefined, fallback: number, maximum: number): number {
  return asked !== undefined && asked > 0 ? Math.min(asked, maximum) : fallback;
}
