/** Which rooms need a second look before they can be planned: most responses have none. */

import type { KnownRoom } from "../../store/ingest/known.ts";
import type { RoomId } from "../../wire/ids.ts";
import type { JoinedRoom, V2Response } from "../../wire/v2-response.ts";
import type { KnownIndex } from "./plan-context.ts";

/** `count`: rooms whose known members are to be counted. `standIns`: rooms to be named by members that nobody called heroes. */
export type Needs = { readonly count: readonly RoomId[]; readonly standIns: readonly RoomId[] };

export function needsOf(response: V2Response, known: KnownIndex, reset: boolean): Needs {
  const count: RoomId[] = [];
  const standIns: RoomId[] = [];
  for (const [sections, to] of [
    [response.join, "join"],
    [response.leave, "leave"],
  ] as const) {
    for (const [id, section] of sections) {
      const room = known.room(id);
      const whole = to === "join" && (reset || room.membership !== "join");
      if (whole || room.facts === null) continue;
      if (needsCount(room, section)) count.push(id);
      if (needsStandIns(room, section)) standIns.push(id);
    }
  }
  return { count, standIns };
}

/** The count is the check of a complete member list, and the stand-in for a summary that never comes. */
function needsCount(room: KnownRoom, section: JoinedRoom): boolean {
  if (room.members === "complete" && section.summary.joined !== null) return true;
  return room.facts?.sources.counted === true && section.summary.joined === null && changesState(section, MEMBERS);
}

function needsStandIns(room: KnownRoom, section: JoinedRoom): boolean {
  const { heroes } = room.facts?.sources ?? {};
  if (section.summary.heroes !== null || heroes !== undefined) return false;
  return changesState(section, NAMING);
}

const MEMBERS: ReadonlySet<string> = new Set(["m.room.member"]);
const NAMING: ReadonlySet<string> = new Set(["m.room.member", "m.room.name", "m.room.canonical_alias"]);

function changesState(section: JoinedRoom, types: ReadonlySet<string>): boolean {
  const matches = (event: { readonly type: string; readonly state_key: string | null }): boolean => event.state_key !== null && types.has(event.type);
  return section.state.some(matches) || section.timeline.some(matches);
}
