/** Paginated sync (MSC4525): of the rooms that changed, as many as the client has asked for. The others follow with the next requests. */

import type { RoomId } from "../wire/ids.ts";
import type { Paging } from "./request.ts";
import type { RoomJob } from "./room-jobs.ts";
import type { ChosenRoom } from "./select.ts";

export type Page = {
  readonly jobs: readonly RoomJob[];
  /** The rooms that the client has up to now, with those of the page. */
  readonly chosen: ReadonlyMap<RoomId, ChosenRoom>;
  /** How many rooms with something new are not in the page. */
  readonly pending: number;
};

/** This share of a page, and at least one room, is for the rooms that have waited longest: else busy rooms could hold back a quiet one for ever. */
const FOR_LONGEST = 0.25;

/** @param jobs of all rooms, the most recently active first */
export function pageOf(chosen: ReadonlyMap<RoomId, ChosenRoom>, jobs: readonly RoomJob[], { pageSize, history }: Paging): Page {
  const due = jobs.filter((job) => job.kind !== "delta" || job.changed || job.grown).map((job) => asPaged(job, history));
  const recent = Math.max(0, pageSize - Math.max(1, Math.floor(pageSize * FOR_LONGEST)));
  // Rooms that were never sent have waited since position 0. Of those that have waited as long, the most recently active come first.
  const longest = due.slice(recent).toSorted((a, b) => a.sent - b.sent);
  const page = [...due.slice(0, recent), ...longest.slice(0, pageSize - recent)];
  const pending = new Set(longest.slice(pageSize - recent).map(({ roomId }) => roomId));
  return { jobs: page, chosen: new Map([...chosen].filter(([roomId]) => !pending.has(roomId))), pending: pending.size };
}

/** A room that was never sent has a limit of its own. There is no larger timeline for a room that was sent. */
function asPaged(job: RoomJob, history: number): RoomJob {
  if (job.kind !== "initial") return { ...job, expanded: false };
  return { ...job, choice: { ...job.choice, config: { ...job.choice.config, timelineLimit: history } } };
}
