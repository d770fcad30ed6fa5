/** One room of a batch while it is planned. */

import type { KnownRoom } from "../../store/ingest/known.ts";
import type { EventId } from "../../wire/ids.ts";
import type { V2JoinedRoom } from "../../wire/v2-response.ts";
import type { Draft } from "./draft.ts";
import type { PlanContext } from "./plan-context.ts";
import type { RoomState } from "./room-state.ts";
import type { SplitTimeline } from "./room-timeline.ts";

/** A room being planned. `isFull`: it comes from scratch (joined again, after a reset, or read again), not from where we were. */
export type RoomWork = {
  readonly draft: Draft;
  readonly context: PlanContext;
  readonly stored: KnownRoom;
  readonly section: V2JoinedRoom;
  readonly to: "join" | "leave";
  readonly isFull: boolean;
  readonly split: SplitTimeline;
  readonly state: RoomState;
  /** See tookEffect. */
  readonly took: ReadonlySet<EventId> | null;
};
