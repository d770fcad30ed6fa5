/** Which stored rows a response may change. */

import type { AccountDataKey, MemberKey, ReceiptKey, StateKey, Touched } from "../../store/ingest/known.ts";
import type { CutEvent } from "../../wire/event.ts";
import type { EventId, RoomId, UserId } from "../../wire/ids.ts";
import type { V2JoinedRoom, V2Response } from "../../wire/v2-response.ts";

export const DIRECT = "m.direct";

/** `reset`: the account is synced from scratch (D26). */
export function touchedBy(response: V2Response, me: UserId, reset: boolean): Touched {
  const lists = new Lists();
  for (const [room, section] of response.join) lists.addRoom(room, section);
  for (const [room, section] of response.leave) {
    lists.addRoom(room, section);
    // Whether it was a ban may be known from before.
    lists.addMember(room, me);
  }
  const stripped = [...response.invite.keys(), ...response.knock.keys()];
  for (const { type } of response.accountData) lists.accountData.push({ room_id: "", type });
  return {
    rooms: [...response.join.keys(), ...response.leave.keys(), ...stripped],
    everything: reset || response.accountData.some((item) => item.type === DIRECT),
    events: lists.events,
    state: [...lists.state.values()],
    members: [...lists.members.values()],
    receipts: lists.receipts,
    accountData: lists.accountData,
    presence: response.presence.map((item) => item.user_id),
    profiles: [...response.profiles.keys()],
    redacted: [...lists.redacted],
    bodies: lists.bodies,
  };
}

class Lists {
  readonly events: EventId[] = [];
  readonly state = new Map<string, StateKey>();
  readonly members = new Map<string, MemberKey>();
  readonly receipts: ReceiptKey[] = [];
  readonly accountData: AccountDataKey[] = [];
  readonly redacted = new Set<EventId>();
  readonly bodies: CutEvent[] = [];

  addRoom(room: RoomId, section: V2JoinedRoom): void {
    for (const hero of section.summary.heroes ?? []) this.addMember(room, hero);
    for (const event of section.timeline) {
      this.events.push(event.event_id);
      if (event.redacts !== null) this.redacted.add(event.redacts);
    }
    for (const event of [...section.state, ...section.timeline, ...section.sticky]) {
      this.bodies.push(event);
      if (event.redacted_because) this.redacted.add(event.event_id);
      if (event.state_key === null) continue;
      if (event.type === "m.room.member") this.addMember(room, event.state_key as UserId);
      else this.state.set(JSON.stringify([room, event.type, event.state_key]), { room_id: room, type: event.type, state_key: event.state_key });
    }
    for (const { user_id, kind, thread_id } of section.ephemeral.receipts) this.receipts.push({ room_id: room, user_id, kind, thread_id });
    for (const { type } of section.accountData) this.accountData.push({ room_id: room, type });
  }

  addMember(room_id: RoomId, user_id: UserId): void {
    this.members.set(`${room_id} ${user_id}`, { room_id, user_id });
  }
}
