/** Rows of rooms for an answer, read from the database or from memory. */

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
  /** Facts as they were last sent; undefined: they are not known any more. Only rooms whose facts changed. */
  readonly factsBefore: ReadonlyMap<RoomId, RoomFacts | undefined>;
  /** State that is asked for: all of it in initial rooms, in grown ones what was added, none in others. Without members. */
  readonly state: ReadonlyMap<RoomId, readonly StateRow[]>;
  /** State that changed after `sent`, asked for or not. Without members. */
  readonly changed: ReadonlyMap<RoomId, readonly StateRow[]>;
  readonly ended: ReadonlyMap<RoomId, readonly EndedState[]>;
  /** Members that are asked for by name; in initial and grown rooms all that are asked for; in rooms that were left the user's own. */
  readonly members: ReadonlyMap<RoomId, readonly MemberRow[]>;
  /** Members that changed after `sent`. */
  readonly membersChanged: ReadonlyMap<RoomId, readonly MemberRow[]>;
  readonly needs: readonly Need[];
};
