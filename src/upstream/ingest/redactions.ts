/** Redactions: their targets are pruned for good, in the batch and in the store, and get the redaction in `unsigned` (B48). */

import type { KnownEvent } from "../../store/ingest/known.ts";
import { eventText } from "../../wire/event.ts";
import { isObject } from "../../wire/identifier.ts";
import type { EventId, UserId } from "../../wire/ids.ts";
import { pruneEvent } from "../../wire/redact.ts";
import { roomVersionOf } from "../../wire/room-versions.ts";
import { contentOf } from "./plan-room-facts.ts";
import type { RoomWork } from "./room-work.ts";
import { membershipOf, sortName } from "./room-state.ts";

/**
 * Applies the redactions of a room's fresh events. Only to events that this account has in that very room, because an event in another room
 * could name any id. Events that come redacted although they are stored in full count likewise.
 */
export function planRedactions(work: RoomWork): void {
  const { context, section, split, stored } = work;
  const known = new Map((context.known.redacted.get(stored.room_id) ?? []).map((event) => [event.event_id, event]));
  for (const event of [...section.state, ...section.timeline]) {
    const target = event.redacted_because ? known.get(event.event_id) : undefined;
    if (target && !(target.pruned && hasReason(target.unsigned))) redactStored(work, target, event.body, event.unsigned);
  }
  for (const event of split.fresh) {
    if (event.redacts === null) continue;
    const because = eventText({ body: event.body, room_id: stored.room_id, unsigned: null, age_ts: null, txn_id: null }, context.now);
    redactFresh(work, event.redacts, because);
    const target = known.get(event.redacts);
    if (!target) continue;
    const body = target.pruned ? target.body : pruneEvent(target.body, target.type, roomVersion(work));
    redactStored(work, target, body, withReason(target.unsigned, because));
  }
}

/** Bans and kicks of others whose sender wants the user's events to be redacted (T5): whether they were is asked later. */
export function planBans({ draft, section, split, stored }: RoomWork): void {
  if (stored.membership !== "join") return;
  for (const { event_id, type, state_key, sender, content } of [...section.state, ...split.fresh]) {
    const isWanted = content["redact_events"] === true || content["org.matrix.msc4293.redact_events"] === true;
    const isGone = content["membership"] === "ban" || content["membership"] === "leave";
    if (isWanted && isGone && type === "m.room.member" && state_key !== sender) draft.bans.push({ event_id });
  }
}

/** A target that came in the same batch, before the redaction or after it. */
function redactFresh(work: RoomWork, target: EventId, because: string): void {
  const { draft, state } = work;
  const rows = state.rowsOf.get(target);
  const event = draft.events.get(target);
  if (rows === undefined || event === undefined) return;
  if (!event.pruned) event.body = pruneEvent(event.shared ?? event.body, event.type, roomVersion(work));
  event.pruned = true;
  event.shared = null;
  draft.stickyEvents.delete(target);
  for (const row of rows) {
    row.unsigned = withReason(row.unsigned, because);
    if ("sticky_until" in row) Object.assign(row, { sticky_until: null });
    if ("sort_name" in row && "user_id" in row) Object.assign(row, { sort_name: sortName(row.user_id as UserId, undefined) });
  }
  forget(work, { event_id: target, type: event.type, state_key: event.state_key, body: event.body });
}

function redactStored(work: RoomWork, target: KnownEvent, body: string, unsigned: string | null): void {
  const { draft } = work;
  if (draft.redactions.has(target.event_id)) return;
  // Readers that cache the room read it again.
  if (!draft.redactedRooms.has(target.room_id)) draft.next("timeline", target.room_id);
  draft.redactedRooms.add(target.room_id);
  const isMember = target.type === "m.room.member" && target.state_key !== null;
  draft.redactions.set(target.event_id, {
    event_id: target.event_id,
    body,
    unsigned,
    sort_name: isMember ? sortName(target.state_key as UserId, undefined) : null,
    ord: isMember && target.open ? draft.next("members", target.room_id) : null,
  });
  if (target.open) forget(work, { ...target, body });
}

/** Removes the redacted content from the room's facts, unless the batch has a newer event for that state. */
function forget(work: RoomWork, event: Pick<KnownEvent, "event_id" | "type" | "state_key" | "body">): void {
  const { state } = work;
  // In old rooms a pruned m.room.create has neither its version nor its type; both facts stay as they were.
  if (event.state_key === null || event.type === "m.room.create") return;
  const content = contentOf(event.body);
  if (event.type === "m.room.member") {
    const user = event.state_key as UserId;
    const inBatch = state.memberContents.get(user);
    if (inBatch === undefined || inBatch.event_id === event.event_id) {
      state.memberContents.set(user, { event_id: event.event_id, membership: membershipOf(content), content });
    }
    return;
  }
  const inBatch = state.contents.get(event.type);
  if (event.state_key === "" && (inBatch === undefined || inBatch.event_id === event.event_id)) {
    state.contents.set(event.type, { event_id: event.event_id, content });
  }
}

function roomVersion(work: RoomWork): string | undefined {
  const inBatch = work.state.contents.get("m.room.create");
  return inBatch ? roomVersionOf(inBatch.content) : work.stored.facts?.room_version;
}

/** `unsigned` with the redaction event in it. The texts are joined, so that what was there keeps its bytes. */
export function withReason(unsigned: string | null, because: string): string {
  if (unsigned === null) return `{"redacted_because":${because}}`;
  return hasReason(unsigned) ? unsigned : `{"redacted_because":${because},${unsigned.slice(1)}`;
}

function hasReason(unsigned: string | null): boolean {
  const fields: unknown = unsigned === null ? null : JSON.parse(unsigned);
  return isObject(fields) && isObject(fields["redacted_because"]);
}
