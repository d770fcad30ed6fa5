/**
 * What a client knows, in one form whatever API it was sent by: v2, sync v3, or either dialect of sliding sync in the form of `sliding.ts`.
 * Each API is put together here alone, strictly by its rules; tests compare two views, or a view with what is true.
 */

import { type Answer as SlidingAnswer, STICKY_EVENTS } from "./sliding.ts";

/** The wire formats are looked into freely: the views are what is compared. */
export type Loose = Record<string, any>; // oxlint-disable-line typescript/no-explicit-any

const MEMBER = "m.room.member";
const COUNTS = ["notification_count", "highlight_count", "joined_count", "invited_count"];
const SLIDING_FIELDS = ["name", "avatar", "heroes", "is_dm", "bump_stamp", ...COUNTS];

export class RoomView {
  /** `join`, `invite`, `knock`, or as the user's own member event says. */
  membership = "join";
  /** `type|key` → event. */
  readonly state = new Map<string, Loose>();
  /** Since the last gap, oldest first. */
  timeline: Loose[] = [];
  limited = false;
  /** `prev_batch`: where `/messages` has what is older than the timeline. */
  older: string | undefined;
  /** By name, as sent. Absent: this API does not say. */
  readonly fields: Loose = {};
  /** Who sent the user's own member event of an invite. */
  inviter: string | undefined;
  /** The events of an invite or knock. */
  stripped: readonly Loose[] = [];
  /** Sliding sync: users who were sent because members are lazily loaded. */
  readonly lazy = new Set<string>();
  /** Sliding sync: who sent the events of the newest answer. */
  senders: readonly string[] = [];

  /** Ids of the timeline's events. */
  get ids(): string[] {
    return this.timeline.map((event) => event["event_id"] as string);
  }

  /** `type|key` → event id. */
  get stateIds(): Map<string, string> {
    return new Map([...this.state].map(([key, event]) => [key, event["event_id"] as string]));
  }

  /** Those fields that are counts. */
  get counts(): Loose {
    return picked(this.fields, COUNTS);
  }
}

/** A room as lists of sync v3 show it. Fields that are null are absent. */
export type Entry = { readonly fields: Loose; readonly timeline: readonly Loose[] };

/** What state was asked of a room; `lazy`: members that are not asked for by name are loaded lazily, and forgotten after a gap. */
export type AskedState = { readonly lazy: boolean; readonly matches: (type: string, key: string) => boolean };
const ALL_STATE: AskedState = { lazy: false, matches: () => true };

export class View {
  readonly me: string;
  readonly rooms = new Map<string, RoomView>();
  /** v2 and v3: the sections of invites and knocks. */
  readonly pending = new Map<string, Loose>();
  /** v3: the rooms of its lists. */
  readonly listed = new Map<string, Entry>();
  /** `room type` (` type`: global) → event. */
  readonly accountData = new Map<string, Loose>();
  /** `room user kind thread`. */
  readonly receipts = new Map<string, { readonly event: string; readonly data: Loose }>();
  /** Room → who types, sorted; a client may hear of it before it has the room. */
  readonly typing = new Map<string, readonly string[]>();
  readonly presence = new Map<string, Loose>();
  /** Ids of the sticky events that were sent beside timelines, and what acknowledges them. */
  readonly sticky = new Set<string>();
  stickySince: string | undefined;
  /** Messages as JSON. */
  readonly toDevice: string[] = [];
  readonly devices = new Map<string, "changed" | "left">();
  keys: Loose = {};
  fallbacks: readonly string[] = [];
  /** Ids of every timeline event ever shown. */
  readonly seen = new Set<string>();

  constructor(me: string) {
    this.me = me;
  }

  applyV2(answer: Loose): this {
    for (const [id, part] of entries(answer["rooms"]?.join)) this.#joinedV2(id, part);
    for (const [id, part] of entries(answer["rooms"]?.leave)) {
      this.#shown(part["timeline"]?.events ?? []);
      for (const map of [this.rooms, this.typing, this.pending]) map.delete(id);
    }
    for (const kind of ["invite", "knock"]) for (const [id, part] of entries(answer["rooms"]?.[kind])) this.#invitation(id, kind, part);
    this.#data("", answer["account_data"]?.events);
    this.#ofDevice({ ...answer, to_device: answer["to_device"], e2ee: answer });
    return this;
  }

  #joinedV2(id: string, part: Loose): void {
    const room = this.#room(id);
    this.pending.delete(id);
    const { timeline, summary, unread_notifications: unread } = part;
    if (timeline.limited) room.timeline = [];
    if (room.timeline.length === 0) room.older = timeline.prev_batch;
    room.limited = timeline.limited;
    this.#events(room, part["state"].events, timeline.events);
    const count = (is: string) => [...room.state.values()].filter((event) => event["type"] === MEMBER && event["content"]?.membership === is).length;
    const own = (type: string, field: string) => room.state.get(`${type}|`)?.["content"]?.[field] || undefined;
    Object.assign(room.fields, {
      name: own("m.room.name", "name"),
      avatar: own("m.room.avatar", "url"),
      joined_count: summary?.["m.joined_member_count"] ?? count("join"),
      invited_count: summary?.["m.invited_member_count"] ?? count("invite"),
      notification_count: unread?.notification_count,
      highlight_count: unread?.highlight_count,
    });
    for (const event of part["ephemeral"].events) this.#ephemeral(id, event);
    this.#data(id, part["account_data"].events);
  }

  applyV3(answer: Loose): this {
    for (const [id, part] of entries(answer["room"]?.rooms)) this.#roomV3(id, part);
    for (const entry of answer["room_list"]?.rooms ?? []) this.#entry(entry);
    for (const id of answer["room_list"]?.removed ?? []) for (const map of [this.rooms, this.listed]) map.delete(id);
    for (const id of answer["invites"]?.gone ?? []) {
      this.pending.delete(id);
      if (this.rooms.get(id)?.membership !== "join") this.rooms.delete(id);
    }
    for (const [id, part] of entries(answer["invites"]?.rooms)) this.#invitation(id, part["invite_state"] ? "invite" : "knock", part);
    for (const event of answer["typing"]?.events ?? []) this.#ephemeral(event.room_id, event);
    for (const [id, event] of entries(answer["receipts"]?.rooms)) this.#ephemeral(id, event);
    this.#data("", answer["account_data"]?.global);
    for (const [id, events] of entries(answer["account_data"]?.rooms)) this.#data(id, events as Loose[]);
    this.#ofDevice(answer);
    return this;
  }

  #roomV3(id: string, part: Loose): void {
    const room = part["initial"] ? this.#newRoom(id, "join") : this.#room(id);
    const { timeline } = part;
    if (timeline?.limited && !part["initial"]) room.timeline = [];
    if (timeline && room.timeline.length === 0) room.older = timeline.prev_batch;
    if (timeline?.limited !== undefined && (part["initial"] || timeline.limited)) room.limited = timeline.limited;
    this.#events(room, [...(part["state"]?.events ?? []), ...(part["members"]?.events ?? [])], timeline?.events ?? []);
    Object.assign(room.fields, picked(part, COUNTS));
    if (part["errcode"] !== undefined) this.rooms.delete(id);
  }

  #entry({ timeline = [], limited, state_events: _state, prev_batch: _prev, ...sent }: Loose): void {
    const id = sent["room_id"] as string;
    const isFull = "is_encrypted" in sent && "joined_count" in sent && "is_dm" in sent;
    const old = isFull ? undefined : this.listed.get(id);
    const fields = Object.fromEntries(Object.entries({ ...old?.fields, ...sent }).filter(([, value]) => value !== null));
    this.listed.set(id, { fields, timeline: [...(limited === true ? [] : (old?.timeline ?? [])), ...timeline] });
    this.#shown(timeline);
  }

  /** `askedOf`: what was asked of each room's state. */
  applySliding(answer: SlidingAnswer, askedOf: (id: string) => AskedState | undefined = () => ALL_STATE): this {
    for (const [id, room] of this.rooms) {
      room.senders = [];
      if (askedOf(id)?.lazy === false) room.lazy.clear();
    }
    for (const [id, part] of Object.entries(answer.rooms)) this.#slidingRoom(id, part, askedOf(id));
    const { typing, receipts, account_data: data } = answer.extensions;
    for (const section of [typing, receipts]) for (const [id, event] of entries(section?.rooms)) this.#ephemeral(id, event);
    this.#data("", data?.global);
    for (const [id, events] of entries(data?.rooms)) this.#data(id, events as Loose[]);
    this.#stickyEvents(answer.extensions[STICKY_EVENTS]);
    this.#ofDevice(answer.extensions);
    return this;
  }

  #stickyEvents(section: Loose | undefined): void {
    this.stickySince = section?.["next_batch"] ?? this.stickySince;
    for (const [, { events }] of entries(section?.["rooms"])) for (const event of events as Loose[]) this.sticky.add(event["event_id"] as string);
  }

  /** As Element X does: state from required_state alone; a room is joined unless the answer says otherwise. */
  #slidingRoom(id: string, part: Loose, asked: AskedState | undefined): void {
    if (!asked) throw new Error(`${id} was sent and not asked for`);
    const own = (events: readonly Loose[]) =>
      events.findLast((event) => event["type"] === MEMBER && event["state_key"] === this.me)?.["content"]?.membership;
    if (part["invite_state"] !== undefined) {
      this.#pending(id, part["membership"] ?? own(part["invite_state"]) ?? "invite", part["invite_state"]);
      return;
    }
    const known = this.rooms.get(id);
    if (!known && part["initial"] !== true) throw new Error(`${id} was never sent before, and is not initial`);
    const room = !known || part["initial"] === true ? this.#newRoom(id, "join") : known;
    if (part["limited"] === true) forgetMembers(room, asked);
    if (part["limited"] === true || part["unstable_expanded_timeline"] === true) room.timeline = [];
    if (part["timeline"] !== undefined && room.timeline.length === 0) room.older = part["prev_batch"];
    if (part["limited"] !== undefined && (part["initial"] === true || part["limited"])) room.limited = part["limited"];
    const [state, timeline]: Loose[][] = [part["required_state"] ?? [], part["timeline"] ?? []];
    for (const event of state ?? []) {
      const [type, key] = [event["type"] as string, event["state_key"] as string];
      if (event["content"] === undefined) room.state.delete(`${type}|${key}`);
      else room.state.set(`${type}|${key}`, event);
      if (type === MEMBER && asked.lazy && !asked.matches(MEMBER, key)) room.lazy.add(key);
    }
    this.#timeline(room, timeline ?? []);
    room.senders = [...new Set((timeline ?? []).map((event) => event["sender"] as string))];
    room.membership = part["membership"] ?? own(state ?? []) ?? "join";
    Object.assign(room.fields, picked(part, SLIDING_FIELDS));
  }

  #newRoom(id: string, membership: string): RoomView {
    const room = new RoomView();
    room.membership = membership;
    this.rooms.set(id, room);
    return room;
  }

  /** The room as a joined one. */
  #room(id: string): RoomView {
    const known = this.rooms.get(id);
    return known?.membership === "join" ? known : this.#newRoom(id, "join");
  }

  /** Of v2 and v3. */
  #invitation(id: string, kind: string, section: Loose): void {
    this.pending.set(id, section);
    this.#pending(id, kind, section[`${kind}_state`].events);
  }

  #pending(id: string, kind: string, events: readonly Loose[]): void {
    const room = this.#newRoom(id, kind);
    room.inviter = events.findLast(({ type, state_key }) => type === MEMBER && state_key === this.me)?.["sender"];
    room.stripped = events;
  }

  /** State as it was before the timeline, and the timeline. */
  #events(room: RoomView, state: readonly Loose[], timeline: readonly Loose[]): void {
    for (const event of [...state, ...timeline])
      if (event["state_key"] !== undefined) room.state.set(`${event["type"]}|${event["state_key"]}`, event);
    this.#timeline(room, timeline);
  }

  #timeline(room: RoomView, events: readonly Loose[]): void {
    this.#shown(events);
    for (const event of events) {
      const redacts = event["redacts"] ?? event["content"]?.redacts;
      if (event["type"] === "m.room.redaction" && redacts !== undefined) redact(room, redacts);
      room.timeline.push(event);
    }
  }

  #shown(events: readonly Loose[]): void {
    for (const event of events) this.seen.add(event["event_id"] as string);
  }

  #ephemeral(id: string, { type, content }: Loose): void {
    if (type === "m.typing") this.typing.set(id, [...content.user_ids].sort());
    if (type !== "m.receipt") return;
    for (const [event, kinds] of entries(content)) {
      for (const [kind, users] of entries(kinds)) {
        for (const [user, data] of entries(users)) this.receipts.set(`${id} ${user} ${kind} ${data["thread_id"] ?? ""}`, { event, data });
      }
    }
  }

  #data(id: string, events: readonly Loose[] = []): void {
    for (const event of events) this.accountData.set(`${id} ${event["type"]}`, event);
  }

  /** What is sent to the device, in the sections that v3 and the extensions have. */
  #ofDevice({ presence, to_device: toDevice, e2ee }: Loose): void {
    for (const event of presence?.events ?? []) this.presence.set(event.sender, event);
    for (const message of toDevice?.events ?? []) this.toDevice.push(JSON.stringify(message));
    for (const kind of ["left", "changed"] as const) for (const user of e2ee?.device_lists?.[kind] ?? []) this.devices.set(user, kind);
    const counts = e2ee?.["device_one_time_keys_count"];
    // Sliding sync's clients take "unlisted" for "unchanged".
    if (counts) this.keys = { ...this.keys, ...counts };
    this.fallbacks = e2ee?.["device_unused_fallback_key_types"] ?? this.fallbacks;
  }
}

/** After a gap a client knows of no members but those that it is always sent. */
function forgetMembers(room: RoomView, { matches }: AskedState): void {
  room.lazy.clear();
  for (const key of room.state.keys()) {
    const [type = "", user = ""] = key.split("|");
    if (type === MEMBER && !matches(type, user)) room.state.delete(key);
  }
}

/** As clients do when they hear of a redaction. */
function redact(room: RoomView, id: string): void {
  for (const event of [...room.timeline, ...room.state.values()]) if (event["event_id"] === id) event["redacted"] = true;
}

function picked(of: Loose, names: readonly string[]): Loose {
  return Object.fromEntries(names.flatMap((name) => (of[name] === undefined ? [] : [[name, of[name]]])));
}

function entries(of: Loose | undefined): [string, Loose][] {
  return Object.entries(of ?? {}) as [string, Loose][];
}
