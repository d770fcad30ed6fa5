/** A room as lists tell it whole, as it is kept in memory. */

import type { StateRow } from "../../store/state.ts";
import type { Timeline } from "../../store/timeline.ts";
import type { RowsOf } from "../../sync/room-cache.ts";

/** What an entry tells of a room beside its facts. `state`: what is asked for, and the members that the timeline and the name need. */
export type WholeRoom = { readonly timeline: Timeline | undefined; readonly state: readonly StateRow[] };

export const rowsOfWhole: RowsOf<WholeRoom> = ({ timeline, state }) => ({ timeline: timeline?.events ?? [], others: state });
