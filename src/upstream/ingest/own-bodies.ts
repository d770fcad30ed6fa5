/**
 * Every account sees an event as its own v2 shows it, although bodies are shared (T6): before events are planned, they are compared with what
 * is stored of them.
 */

import { isSameJson } from "../../base/same-json.ts";
import type { StoredBodies } from "../../store/ingest/bodies.ts";
import type { OwnBodyWrite, RedactionWrite } from "../../store/ingest/row-types.ts";
import type { CutEvent } from "../../wire/event.ts";
import type { EventId, RoomId } from "../../wire/ids.ts";
import type { V2JoinedRoom, V2Response } from "../../wire/v2-response.ts";
import type { Draft } from "./draft.ts";
import { contentOf } from "./plan-room-facts.ts";

/** The events as they are to be stored, and which own copies of bodies the account gets or no longer has. */
export type Settled<Events> = { readonly events: Events; readonly own: readonly OwnBodyWrite[] };

/** The same for all rooms of a response. */
export function settleResponse(response: V2Response, stored: StoredBodies): Settled<V2Response> {
  const own: OwnBodyWrite[] = [];
  const settled = (events: readonly CutEvent[], room: RoomId): CutEvent[] => {
    const result = settleEvents(events, room, stored);
    own.push(...result.own);
    return result.events;
  };
  const settledRooms = (sections: ReadonlyMap<RoomId, V2JoinedRoom>) =>
    new Map(
      [...sections].map(([room, section]) => {
        const { state, timeline, sticky } = section;
        return [room, { ...section, state: settled(state, room), timeline: settled(timeline, room), sticky: settled(sticky, room) }];
      }),
    );
  return { events: { ...response, join: settledRooms(response.join), leave: settledRooms(response.leave) }, own };
}

/**
 * Events of one room. `redactions`: those that came redacted and are stored in full.
 * @param present of histories: present state. It stays as v2 shows it, which Synapse does in full where /messages has what an erased sender wrote cut.
 */
export function settleEvents(
  events: readonly CutEvent[],
  room_id: RoomId,
  stored: StoredBodies,
  present: ReadonlySet<EventId> = new Set(),
): Settled<CutEvent[]> & { readonly redactions: readonly RedactionWrite[] } {
  const own: OwnBodyWrite[] = [];
  const redactions: RedactionWrite[] = [];
  const settled = events.map((event) => {
    const { event_id, body, unsigned } = event;
    const shared = stored.shared.get(event_id);
    if (present.has(event_id) && !event.redacted_because && shared?.pruned !== true) return { ...event, body: shared?.body ?? body };
    const isRedaction = event.redacted_because && shared?.pruned === false;
    if (isRedaction) redactions.push({ event_id, body, unsigned, sort_name: null, ord: null });
    const result = settle(event, stored);
    if (result.shared !== null) own.push({ event_id, room_id, body });
    else if (isRedaction || stored.own.has(event_id)) own.push({ event_id, room_id, body: null });
    return result;
  });
  return { events: settled, own, redactions };
}

function settle(event: CutEvent, stored: StoredBodies): CutEvent {
  const shared = stored.shared.get(event.event_id);
  if (shared?.pruned) return { ...event, body: shared.body, content: contentOf(shared.body), redacted_because: true };
  if (!shared || event.redacted_because) {
    // Accounts whose responses are stored in the same transaction compare theirs with this one.
    stored.shared.set(event.event_id, { body: event.body, pruned: event.redacted_because });
    return event;
  }
  return isSameJson(event.body, shared.body) ? { ...event, body: shared.body } : { ...event, shared: shared.body };
}

/** Own copies are news of their rooms: what was cached of those is read again. */
export function planOwnBodies(draft: Draft, own: readonly OwnBodyWrite[]): void {
  draft.ownBodies.push(...own);
  for (const room of new Set(own.map((row) => row.room_id))) draft.next("timeline", room);
}
