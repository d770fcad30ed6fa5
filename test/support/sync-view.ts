/** What a client knows after syncing, by v2 or by v3, in one form: so that the two can be compared (invariant 11). */

import type { Json, MatrixEvent } from "./events.ts";
import type { Answer } from "./v3.ts";

type RoomView = {
  /** `type state_key` → event id. */
  state: Map<string, string>;
  /** Ids, since the room began or the last gap. */
  timeline: string[];
  counts: Record<string, unknown>;
};

/** The wire format is looked into freely: the views are what tests assert about. */
type Loose = Record<string, any>; // oxlint-disable-line typescript/no-explicit-any

export class SyncView {
  readonly rooms = new Map<string, RoomView>();
  /** Room → who types; a client may hear of it before it has the room. */
  readonly typing = new Map<string, readonly string[]>();
  /** `room user kind thread` → event id and data. */
  readonly receipts = new Map<string, string>();
  readonly accountData = new Map<string, string>();
  readonly pending = new Map<string, string>();
  readonly presence = new Map<string, string>();
  readonly toDevice: string[] = [];
  /** Since the views were last compared. */
  devices = new Map<string, "changed" | "left">();
  keys: unknown = null;
  /** Every timeline event ever shown. */
  readonly seen = new Set<string>();

  /** All that is to be the same in two views. Receipts of rooms that the user has left are nobody's business. */
  summary(): Json {
    const entries = (map: ReadonlyMap<string, unknown>) => Object.fromEntries([...map].toSorted(([a], [b]) => (a < b ? -1 : 1)));
    const rooms = [...this.rooms].map(
      ([id, room]) => [id, { ...room, state: entries(room.state), typing: this.typing.get(id)?.toSorted() ?? [] }] as const,
    );
    return {
      rooms: entries(new Map(rooms)),
      receipts: entries(new Map([...this.receipts].filter(([key]) => this.rooms.has(key.split(" ")[0] ?? "")))),
      accountData: entries(this.accountData),
      pending: entries(this.pending),
      presence: entries(this.presence),
      toDevice: this.toDevice,
      devices: entries(this.devices),
      keys: this.keys,
    };
  }

  // ---- v2

  applyV2(me: string, response: Loose): void {
    for (const [id, section] of Object.entries<Loose>(response["rooms"]?.join ?? {})) this.#joinedV2(me, id, section);
    for (const [id, section] of Object.entries<Loose>(response["rooms"]?.leave ?? {})) {
      for (const event of section["timeline"].events as MatrixEvent[]) this.seen.add(event.event_id);
      this.rooms.delete(id);
      this.typing.delete(id);
      this.pending.delete(id);
    }
    for (const kind of ["invite", "knock"]) {
      for (const [id, section] of Object.entries<Loose>(response["rooms"]?.[kind] ?? {})) this.pending.set(id, JSON.stringify(section));
    }
    for (const event of response["account_data"]?.events ?? []) this.accountData.set(` ${event.type}`, JSON.stringify(event));
    for (const event of response["presence"]?.events ?? []) this.presence.set(event.sender, JSON.stringify(event));
    for (const message of response["to_device"]?.events ?? []) this.toDevice.push(JSON.stringify(message));
    for (const user of response["device_lists"]?.left ?? []) this.devices.set(user, "left");
    for (const user of response["device_lists"]?.changed ?? []) this.devices.set(user, "changed");
    const counts = response["device_one_time_keys_count"];
    if (counts) this.keys = [counts, response["device_unused_fallback_key_types"]];
  }

  #joinedV2(me: string, id: string, section: Loose): void {
    const known = this.rooms.get(id);
    const room: RoomView = known ?? { state: new Map(), timeline: [], counts: {} };
    this.rooms.set(id, room);
    this.pending.delete(id);
    if (section["timeline"].limited) room.timeline = [];
    this.#events(room, section["state"].events, section["timeline"].events);
    for (const event of section["ephemeral"].events as Loose[]) {
      if (event["type"] === "m.typing") this.typing.set(id, event["content"].user_ids);
      else this.#receipts(me, id, event["content"]);
    }
    for (const event of section["account_data"].events) this.accountData.set(`${id} ${event.type}`, JSON.stringify(event));
    const { unread_notifications: unread, summary } = section;
    room.counts = {
      notification_count: unread.notification_count,
      highlight_count: unread.highlight_count,
      joined_count: summary["m.joined_member_count"],
      invited_count: summary["m.invited_member_count"],
    };
  }

  // ---- v3

  applyV3(me: string, answer: Answer): void {
    for (const message of answer["to_device"]?.events ?? []) this.toDevice.push(JSON.stringify(message));
    for (const [id, part] of Object.entries<Loose>(answer["room"]?.rooms ?? {})) this.#roomV3(id, part);
    for (const id of answer["room_list"]?.removed ?? []) this.rooms.delete(id);
    for (const event of answer["typing"]?.events ?? []) this.typing.set(event.room_id, event.content.user_ids);
    for (const [id, event] of Object.entries<Loose>(answer["receipts"]?.rooms ?? {})) this.#receipts(me, id, event["content"]);
    for (const event of answer["account_data"]?.global ?? []) this.accountData.set(` ${event.type}`, JSON.stringify(event));
    for (const [id, events] of Object.entries<Loose[]>(answer["account_data"]?.rooms ?? {})) {
      for (const event of events) this.accountData.set(`${id} ${event["type"]}`, JSON.stringify(event));
    }
    for (const event of answer["presence"]?.events ?? []) this.presence.set(event.sender, JSON.stringify(event));
    for (const id of answer["invites"]?.gone ?? []) this.pending.delete(id);
    for (const [id, part] of Object.entries(answer["invites"]?.rooms ?? {})) this.pending.set(id, JSON.stringify(part));
    for (const kind of ["left", "changed"] as const) {
      for (const user of answer["e2ee"]?.device_lists?.[kind] ?? []) this.devices.set(user, kind);
    }
    const counts = answer["e2ee"]?.device_one_time_keys_count;
    if (counts && Object.keys(counts).length > 0) this.keys = [counts, answer["e2ee"].device_unused_fallback_key_types];
  }

  #roomV3(id: string, part: Loose): void {
    const known = part["initial"] ? undefined : this.rooms.get(id);
    const room: RoomView = known ?? { state: new Map(), timeline: [], counts: {} };
    this.rooms.set(id, room);
    if (part["timeline"]?.limited) room.timeline = [];
    this.#events(room, [...(part["state"]?.events ?? []), ...(part["members"]?.events ?? [])], part["timeline"]?.events ?? []);
    for (const name of ["notification_count", "highlight_count", "joined_count", "invited_count"]) {
      if (part[name] !== undefined) room.counts[name] = part[name];
    }
  }

  // ---- both

  #events(room: RoomView, state: readonly MatrixEvent[], timeline: readonly MatrixEvent[]): void {
    for (const event of [...state, ...timeline])
      if (event.state_key !== undefined) room.state.set(`${event.type} ${event.state_key}`, event.event_id);
    for (const event of timeline) {
      room.timeline.push(event.event_id);
      this.seen.add(event.event_id);
    }
  }

  /** Other users' private receipts are no part of a view: they are shown to nobody. */
  #receipts(me: string, room: string, content: Loose): void {
    for (const [eventId, kinds] of Object.entries<Loose>(content)) {
      for (const [kind, users] of Object.entries<Loose>(kinds)) {
        for (const [user, data] of Object.entries<Loose>(users)) {
          if (kind === "m.read.private" && user !== me) continue;
          this.receipts.set(`${room} ${user} ${kind} ${data["thread_id"] ?? ""}`, `${eventId} ${JSON.stringify(data)}`);
        }
      }
    }
  }
}
