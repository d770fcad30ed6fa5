/**
 * Rooms as a client puts them together from answers of sliding sync, reading them as Element X does: state from required_state alone;
 * stripped state means invited (or knocking); a room is joined unless the own member event says otherwise. v4 says the membership itself.
 */

import type { MatrixEvent } from "./fake-homeserver.ts";
import type { RoomAnswer } from "./sliding.ts";

const FIELDS = ["name", "avatar", "is_dm", "joined_count", "invited_count", "notification_count", "highlight_count", "bump_stamp", "heroes"];

export type ReadRoom = {
  membership: string;
  readonly fields: Map<string, unknown>;
  /** Id by `type|key`. */
  readonly state: Map<string, string>;
  /** Ids of member events by user, of those loaded lazily too: flushed when a timeline is limited. */
  readonly members: Map<string, string>;
  timeline: string[];
};

export class RoomReader {
  readonly me: string;
  readonly rooms = new Map<string, ReadRoom>();

  constructor(me: string) {
    this.me = me;
  }

  /** Takes in what an answer says of a room. `named`: users whose membership is asked for by name, whatever is loaded lazily. */
  apply(roomId: string, told: RoomAnswer, named: readonly string[] = []): ReadRoom {
    const known = told["initial"] === true ? undefined : this.rooms.get(roomId);
    const room: ReadRoom = known ?? { membership: "", fields: new Map(), state: new Map(), members: new Map(), timeline: [] };
    this.rooms.set(roomId, room);
    for (const field of FIELDS) if (field in told) room.fields.set(field, told[field]);
    if (told["limited"] === true) for (const user of room.members.keys()) if (!named.includes(user)) room.members.delete(user);
    const state = (told["required_state"] ?? []) as MatrixEvent[];
    for (const event of state) {
      room.state.set(`${event.type}|${event.state_key}`, event.event_id);
      if (event.type === "m.room.member") room.members.set(String(event.state_key), event.event_id);
    }
    const ids = ((told["timeline"] ?? []) as MatrixEvent[]).map((event) => event.event_id);
    const replaced = told["limited"] === true || told["unstable_expanded_timeline"] === true;
    room.timeline = [...(replaced ? [] : room.timeline), ...ids];
    room.membership = this.#membership(told, state);
    return room;
  }

  #membership(told: RoomAnswer, state: readonly MatrixEvent[]): string {
    if (typeof told["membership"] === "string") return told["membership"];
    const own = (events: readonly MatrixEvent[]) =>
      events.find((event) => event.type === "m.room.member" && event.state_key === this.me)?.content["membership"];
    const stripped = told["invite_state"] as MatrixEvent[] | undefined;
    const said = own(stripped ?? state);
    if (stripped) return said === "knock" || said === "leave" ? said : "invite";
    return said === "leave" || said === "ban" ? said : "join";
  }
}
