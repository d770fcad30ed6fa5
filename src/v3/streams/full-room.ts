/** What lists read of a room to send it in full, as it is cached. */

import type { StateRow } from "../../store/state.ts";
import type { Timeline } from "../../store/timeline.ts";
import type { RowsOf } from "../../sync/room-cache.ts";

/** The part of an entry besides the room's facts. `state`: the state asked for, and the members that the timeline and the name need. */
export type FullRoom = { readonly timeline: Timeline | undefined; readonly state: readonly StateRow[] };

export const rowsOfFullRoom: RowsOf<FullRoom> = ({ timeline, state }) => ({ timeline: timeline?.events ?? [], others: state });
