/** What was read of rooms for an answer, from the database or from memory. */

import type { EventRow } from "../store/event-row.ts";
import type { MemberRow } from "../store/members.ts";
import type { RoomFacts } from "../store/room-facts.ts";
import type { EndedState, StateRow } from "../store/state.ts";
import type { TimelineStart } from "../sync/prev-batch.ts";
import type { Need } from "../sync/fetch-need.ts";
import type { RoomId } from "../wire/ids.ts";

/** Oldest first. */
export type ReadTimeline = {
  readonly events: readonly (EventRow & { readonly ord?: number })[];
  readonly limited: boolean;
} & TimelineStart;

export type RoomRows = {
  readonly stripped: ReadonlyMap<RoomId, string>;
  readonly timelines: ReadonlyMap<RoomId, ReadTimeline>;
  /** Facts as they were told; undefined: they are not known any more. Only of rooms whose facts changed. */
  readonly factsBefore: ReadonlyMap<RoomId, RoomFacts | undefined>;
  /** State that is asked for: of initial rooms all, of grown ones what they have more, of others nothing. No members. */
  readonly state: ReadonlyMap<RoomId, readonly StateRow[]>;
  /** State that changed after `told`, whether it is asked for or not. No members. */
  readonly changed: ReadonlyMap<RoomId, readonly StateRow[]>;
  readonly ended: ReadonlyMap<RoomId, readonly EndedState[]>;
  /** Members that are asked for: by name, and of initial and grown rooms all. The user's own where the user has left. */
  readonly members: ReadonlyMap<RoomId, readonly MemberRow[]>;
  /** Members that changed after `told`. */
  readonly membersChanged: ReadonlyMap<RoomId, readonly MemberRow[]>;
  readonly needs: readonly Need[];
};
