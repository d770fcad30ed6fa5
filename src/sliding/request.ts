/** A sliding sync request (MSC4186), independent of the dialect that it came in. */

import type { FactsFilters } from "../sync/room-filters.ts";
import type { RoomId } from "../wire/ids.ts";
import type { RequiredState } from "./required-state.ts";

/** What to send of a room. */
export type RoomConfig = {
  /** Events; 0: no timeline at all. */
  readonly timelineLimit: number;
  readonly requiredState: RequiredState;
};

export type SlidingFilters = FactsFilters & {
  readonly isInvite?: boolean;
  /** Direct children of any of these. */
  readonly spaces?: readonly RoomId[];
};

/** Inclusive, from 0. */
export type Range = readonly [number, number];

export type SlidingList = {
  /** null: all rooms. */
  readonly ranges: readonly Range[] | null;
  readonly filters: SlidingFilters;
  readonly config: RoomConfig;
};

/** The rooms that an extension covers: those in the window of a named list, and named subscriptions. */
export type Scope = { readonly lists: ReadonlySet<string> | "all"; readonly rooms: ReadonlySet<string> | "all" };

/** In the order of answers. Everything that each extension needs is in tables over these names, so types say what a new one lacks. */
export const EXTENSIONS = ["toDevice", "e2ee", "accountData", "profiles", "receipts", "stickyEvents", "typing", "presence", "threads"] as const;
export type ExtensionName = (typeof EXTENSIONS)[number];

/** `fields` of profiles, without duplicates; null: all. */
export type ProfilesScope = Scope & { readonly fields: readonly string[] | null };

/** Only the enabled ones. */
export type SlidingExtensions = {
  /** `since`: the acknowledged seq; 0: nothing. */
  readonly toDevice?: { readonly limit: number; readonly since: number };
  readonly e2ee?: true;
  readonly accountData?: Scope;
  readonly profiles?: ProfilesScope;
  readonly receipts?: Scope;
  /** `since`: the acknowledged ordinal; 0: nothing. */
  readonly stickyEvents?: { readonly limit: number; readonly since: number };
  readonly typing?: Scope;
  readonly presence?: true;
  /** Thread subscriptions. `limit`: changes in an answer. */
  readonly threads?: { readonly limit: number };
};

/** Every request is complete in itself: nothing of an earlier one is remembered, except for `sticky`. */
export type SlidingBody = {
  readonly lists: ReadonlyMap<string, SlidingList>;
  readonly subscriptions: ReadonlyMap<RoomId, RoomConfig>;
  readonly extensions: SlidingExtensions;
  /**
   * For old-style clients (matrix-js-sdk): subscriptions stay until they are named here, and `subscriptions` contains only new ones.
   * null: as MSC4186 has it.
   */
  readonly sticky: { readonly unsubscribe: readonly RoomId[] } | null;
  /** Absent: as MSC4186 has it. */
  readonly paging?: Paging;
};

/** MSC4525: of the rooms with something new, how many an answer has, and how many events one has that was never sent. */
export type Paging = { readonly pageSize: number; readonly history: number };

/** What a dialect can express, as far as it affects what is read and what is news. */
export type Dialect = {
  /** Notification counts are sent, so a change of them is news. */
  readonly counts: boolean;
  /** Deleted state is sent. */
  readonly stubs: boolean;
};
