/** A sliding sync request (MSC4186) as the engine knows it, whichever dialect it came in: the faces translate. */

import type { RoomId } from "../wire/ids.ts";
import type { RequiredState } from "./required-state.ts";

/** What to tell of a room. */
export type RoomConfig = {
  /** Events; 0: no timeline at all. */
  readonly timelineLimit: number;
  readonly requiredState: RequiredState;
};

/** Filters are joined by "and"; `not_` ones win. */
export type SlidingFilters = {
  readonly isDm?: boolean;
  readonly isEncrypted?: boolean;
  readonly isInvite?: boolean;
  /** Direct children of any of these. */
  readonly spaces?: readonly RoomId[];
  /** null: rooms without a type. */
  readonly roomTypes?: readonly (string | null)[];
  readonly notRoomTypes?: readonly (string | null)[];
  readonly tags?: readonly string[];
  readonly notTags?: readonly string[];
  /** Case-insensitive, in the computed name. */
  readonly roomNameLike?: string;
};

/** Inclusive, from 0. */
export type Range = readonly [number, number];

export type SlidingList = {
  /** null: all rooms. */
  readonly ranges: readonly Range[] | null;
  readonly filters: SlidingFilters;
  readonly config: RoomConfig;
};

/** Which rooms an extension tells of: those in the window of a named list, and named subscriptions. */
export type Scope = { readonly lists: ReadonlySet<string> | "all"; readonly rooms: ReadonlySet<string> | "all" };

/** Those that are enabled. */
export type SlidingExtensions = {
  /** `since`: the seq that is acknowledged, 0: nothing. */
  readonly toDevice?: { readonly limit: number; readonly since: number };
  readonly e2ee?: true;
  readonly accountData?: Scope;
  readonly receipts?: Scope;
  readonly typing?: Scope;
};

/** Every request is whole: nothing is remembered of the one before, but for `sticky`. */
export type SlidingBody = {
  readonly lists: ReadonlyMap<string, SlidingList>;
  readonly subscriptions: ReadonlyMap<RoomId, RoomConfig>;
  readonly extensions: SlidingExtensions;
  /**
   * A client of the old kind (matrix-js-sdk): subscriptions stay until they are named here, and `subscriptions` holds new ones only.
   * null: as MSC4186 has it.
   */
  readonly sticky: { readonly unsubscribe: readonly RoomId[] } | null;
};

/** What a dialect can say, as far as it decides what is read and what is news. */
export type Dialect = {
  /** Notification counts are told: their change is news. */
  readonly counts: boolean;
  /** Deleted state is told. */
  readonly stubs: boolean;
};
