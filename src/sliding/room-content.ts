/** A room as an answer sends it, independent of the dialect (MSC4186, "RoomResult"). */

import type { EventRow } from "../store/event-row.ts";
import type { Hero, Membership } from "../store/room-facts.ts";
import type { RoomId } from "../wire/ids.ts";
import type { ReadTimeline } from "./reading.ts";

export type RoomResult = {
  readonly roomId: RoomId;
  readonly content: RoomContent;
  /** Other answers may have the same content, so that its JSON is worth caching. */
  readonly shared: boolean;
  readonly lists: readonly string[];
  /** Absent if the content has no timeline. `live`: this many events at the end came after the request's position. */
  readonly paging?: { readonly prevBatch: string; readonly live: number };
};

/** An absent field did not change, or in an initial room does not exist; null: it was removed. */
export type RoomContent = {
  readonly membership: Membership;
  readonly everJoined: boolean;
  readonly initial: boolean;
  readonly expanded: boolean;
  readonly bumpStamp?: number;
  /** There is only a bump stamp: it is sent, but ends no wait. */
  readonly quiet?: true;
  /** A list of stripped events, as JSON; there is nothing else then. */
  readonly stripped?: string;
  readonly requiredState: readonly EventRow[];
  readonly stubs: readonly StateStub[];
  /** Absent if no events were asked for. `prevBatch` null: it is after all of them. */
  readonly timeline?: ReadTimeline;
} & RoomFields;

export type StateStub = { readonly type: string; readonly state_key: string };

export type RoomFields = {
  /** As set in the room, not computed. */
  readonly name?: string | null;
  readonly avatar?: string | null;
  /** Only if the room has no name. */
  readonly heroes?: readonly Hero[];
  readonly isDm?: boolean;
  readonly joinedCount?: number;
  readonly invitedCount?: number;
  readonly counts?: { readonly notifications: number; readonly highlights: number };
};
