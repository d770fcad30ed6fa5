/** A room as an answer tells it, in no dialect yet (MSC4186, "RoomResult"). */

import type { EventRow } from "../store/event-row.ts";
import type { Hero, Membership } from "../store/room-facts.ts";
import type { RoomId } from "../wire/ids.ts";
import type { ReadTimeline } from "./reading.ts";

export type RoomResult = {
  readonly roomId: RoomId;
  readonly content: RoomContent;
  /** Other answers may have the very same content: worth keeping what it is written as. */
  readonly shared: boolean;
  readonly lists: readonly string[];
  /** Absent where the content has no timeline. `live`: its last so many events came after the request's position. */
  readonly place?: { readonly prevBatch: string; readonly live: number };
};

/** What may be absent did not change, or of an initial room is not there; null: it is there no more. */
export type RoomContent = {
  readonly membership: Membership;
  readonly everJoined: boolean;
  readonly initial: boolean;
  readonly expanded: boolean;
  readonly bumpStamp?: number;
  /** There is a bump stamp and nothing else: told, but nothing to end a wait for. */
  readonly quiet?: true;
  /** A list of stripped events, as JSON: there is nothing else then. */
  readonly stripped?: string;
  readonly requiredState: readonly EventRow[];
  readonly stubs: readonly StateStub[];
  /** Absent where no events were asked for. `prevBatch` null: it stands behind all of them. */
  readonly timeline?: ReadTimeline;
} & RoomFields;

export type StateStub = { readonly type: string; readonly state_key: string };

export type RoomFields = {
  /** As set, not computed. */
  readonly name?: string | null;
  readonly avatar?: string | null;
  /** Only of a room without a name. */
  readonly heroes?: readonly Hero[];
  readonly isDm?: boolean;
  readonly joinedCount?: number;
  readonly invitedCount?: number;
  readonly counts?: { readonly notifications: number; readonly highlights: number };
};
