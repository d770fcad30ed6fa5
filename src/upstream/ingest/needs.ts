/** Which rooms need more to be read before they can be planned: for most responses none. */

import type { KnownRoom } from "../../store/ingest/known.ts";
import type { RoomId, UserId } from "../../wire/ids.ts";
import type { V2JoinedRoom, V2Response } from "../../wire/v2-response.ts";
import type { KnownIndex } from "./plan-context.ts";
import { isOwnRead } from "./own-reads.ts";
import { DIRECT } from "./touched.ts";

/**
 * - fullState: rooms with stored state of which the response has the full state again.
 * - count: rooms whose known members are to be counted.
 * - standIns: rooms to be named by members, because the homeserver named no heroes.
 * - unread: rooms of which the homeserver counts unread events, or the user's own receipts came.
 * - direct: the response has rooms that may be listed in the stored m.direct.
 */
export type Needs = {
  readonly fullState: readonly RoomId[];
  readonly count: readonly RoomId[];
  readonly standIns: readonly RoomId[];
  readonly unread: readonly RoomId[];
  readonly direct: boolean;
};

/** `isFull`: whether the response has a joined room from scratch although it is stored. */
export function needsOf(response: V2Response, known: KnownIndex, me: UserId, isFull: (room: RoomId) => boolean): Needs {
  const fullState: RoomId[] = [];
  const count: RoomId[] = [];
  const standIns: RoomId[] = [];
  const unread: RoomId[] = [];
  for (const [id, section] of [...response.join, ...response.leave]) {
    const room = known.room(id);
    if (room.facts === null) continue;
    if (response.join.has(id) && (isFull(id) || room.membership !== "join")) {
      fullState.push(id);
      continue;
    }
    if (needsCount(room, section)) count.push(id);
    if (needsStandIns(room, section)) standIns.push(id);
    if ((section.unread.notifications ?? 0) > 0 || section.ephemeral.receipts.some((receipt) => isOwnRead(receipt, me))) unread.push(id);
  }
  const ids = [response.join, response.leave].flatMap((sections) => [...sections.keys()]);
  // An invite always comes from scratch, also for a known room, and so does what it becomes.
  const fresh = response.invite.size + response.knock.size > 0 || ids.some((id) => known.room(id).facts === null || known.room(id).pending !== null);
  const direct = fresh && !response.accountData.some((item) => item.type === DIRECT);
  return { fullState, count, standIns, unread, direct };
}

/** The count verifies a complete member list, and replaces a summary that never comes. */
function needsCount(room: KnownRoom, section: V2JoinedRoom): boolean {
  if (room.members === "complete" && section.summary.joined !== null) return true;
  return room.facts?.sources.counted === true && section.summary.joined === null && changesState(section, MEMBERS);
}

function needsStandIns(room: KnownRoom, section: V2JoinedRoom): boolean {
  const { heroes } = room.facts?.sources ?? {};
  if (section.summary.heroes !== null || heroes !== undefined) return false;
  return changesState(section, NAMING);
}

const MEMBERS: ReadonlySet<string> = new Set(["m.room.member"]);
const NAMING: ReadonlySet<string> = new Set(["m.room.member", "m.room.name", "m.room.canonical_alias"]);

function changesState(section: V2JoinedRoom, types: ReadonlySet<string>): boolean {
  const matches = (event: { readonly type: string; readonly state_key: string | null }): boolean => event.state_key !== null && types.has(event.type);
  return section.state.some(matches) || section.timeline.some(matches);
}
