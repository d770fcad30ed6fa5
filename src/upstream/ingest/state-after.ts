/** Rooms that came with the state after the timeline (MSC4222, T21): which of the timeline's state events set state. */

import { isObject } from "../../wire/identifier.ts";
import type { EventId, UserId } from "../../wire/ids.ts";
import { indexKey } from "../../wire/index-key.ts";
import type { CutEvent } from "../../wire/event.ts";
import type { V2JoinedRoom } from "../../wire/v2-response.ts";
import { stateKey } from "./room-state.ts";

/**
 * The ids of the timeline's state events that took effect: those of the state after it, and what they replaced. null: all did.
 *
 * Homeservers leave out some of the state after it, whose events count as they come: members of a full room that wrote nothing in the timeline
 * (lazy loading), and the end of the own membership, if a homeserver that is no longer in the room keeps no state of it.
 */
export function tookEffect(section: V2JoinedRoom, room: { readonly me: UserId; readonly isFull: boolean; readonly to: "join" | "leave" }) {
  const { current, timeline, state } = section;
  if (current === null) return null;
  const keyed = timeline.flatMap((event) => (event.state_key === null ? [] : [{ event, key: stateKey(event.type, event.state_key) }]));
  const known = new Set(state.map((event) => stateKey(event.type, event.state_key ?? "")));
  for (const { event, key } of keyed) if (current.has(event.event_id)) known.add(key);
  const mayBeLeftOut = ({ type, state_key }: CutEvent) => type === "m.room.member" && (room.isFull || (room.to === "leave" && state_key === room.me));
  const took = new Set<EventId>();
  const replaced = new Set<string>();
  for (const { event, key } of keyed.toReversed()) {
    if (!current.has(event.event_id) && !replaced.has(key) && (known.has(key) || !mayBeLeftOut(event))) continue;
    took.add(event.event_id);
    replaced.add(key);
  }
  return took;
}

/** The state event that an event replaced (`unsigned.replaces_state`); null: it does not say so. */
export function replacedBy({ unsigned }: Pick<CutEvent, "unsigned">): EventId | null {
  const fields: unknown = unsigned === null ? null : JSON.parse(unsigned);
  const id = isObject(fields) ? fields["replaces_state"] : undefined;
  return typeof id === "string" ? (indexKey(id) as EventId) : null;
}

/** `unsigned` of a timeline event that set no state, so that clients which apply timelines to the state before them leave it out. */
export function overruled(unsigned: string | null): string {
  return unsigned === null ? `{${OVERRULED}}` : `{${OVERRULED},${unsigned.slice(1)}`;
}

const OVERRULED = '"syncv3.overruled":true';
