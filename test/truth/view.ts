/** What a client knows, in one form whatever API told it: v2, sync v3, or either dialect of sliding sync in the form of `sliding.ts`. */

import type { Answer as SlidingAnswer } from "../support/sliding.ts";

/** The wire formats are looked into freely: the views are what is compared. */
export type Loose = Record<string, any>; // oxlint-disable-line typescript/no-explicit-any

const MEMBER = "m.room.member";

export class RoomView {
  /** `join`, `invite`, `knock`, or as the user's own member event says. */
  membership = "join";
  /** `type|key` → event. */
  readonly state = new Map<string, Loose>();
  /** Since the last gap, oldest first. */
  timeline: Loose[] = [];
  limited = false;
  /** By name: what lists show. Absent: this API does not say. */
  readonly fields: Loose = {};
  /** Who sent the user's own member event of an invite. */
  inviter: string | undefined;
  /** `type|key` → content, of an invite or knock. */
  readonly stripped = new Map<string, unknown>();
}

export class View {
  readonly me: string;
  readonly rooms = new Map<string, RoomView>();
  /** `room type` (` type`: global) → content. */
  readonly accountData = new Map<string, unknown>();
  /** `room user kind thread` → event id. */
  readonly receipts = new Map<string, string>();
  readonly typing = new Map<string, readonly string[]>();
  keys: Loose = {};
  fallbacks: readonly string[] = [];

  constructor(me: string) {
    this.me = me;
  }

  /** A first answer. */
  applyV2(answer: Loose): this {
    for (const [id, part] of entries(answer["rooms"]?.join)) {
      const room = this.#newRoom(id, "join");
      this.#events(room, part["state"].events, part["timeline"].events);
      room.limited = part["timeline"].limited;
      const { unread_notifications: unread } = part;
      const count = (is: string) =>
        [...room.state.values()].filter((event) => event["type"] === MEMBER && event["content"]?.membership === is).length;
      const own = (type: string, field: string) => room.state.get(`${type}|`)?.["content"]?.[field] || undefined;
      Object.assign(room.fields, {
        name: own("m.room.name", "name"),
        avatar: own("m.room.avatar", "url"),
        joined_count: count("join"),
        invited_count: count("invite"),
        notification_count: unread.notification_count,
        highlight_count: unread.highlight_count,
      });
      for (const event of part["ephemeral"].events) this.#ephemeral(id, event);
      this.#data(id, part["account_data"].events);
    }
    for (const kind of ["invite", "knock"]) {
      for (const [id, part] of entries(answer["rooms"]?.[kind])) this.#pending(id, kind, part[`${kind}_state`].events);
    }
    this.#data("", answer["account_data"]?.events);
    this.#keyCounts({ device_one_time_keys_count: {}, ...answer });
    return this;
  }

  applyV3(answer: Loose): this {
    for (const [id, part] of entries(answer["room"]?.rooms)) {
      const known = this.rooms.get(id);
      const room = part["initial"] || !known ? this.#newRoom(id, "join") : known;
      // What the list has sent stays as it is until the list says otherwise.
      Object.assign(room.fields, known?.fields);
      if (part["timeline"]?.limited && !part["initial"]) room.timeline = [];
      if (part["timeline"]?.limited !== undefined && (part["initial"] || part["timeline"].limited)) room.limited = part["timeline"].limited;
      this.#events(room, [...(part["state"]?.events ?? []), ...(part["members"]?.events ?? [])], part["timeline"]?.events ?? []);
      this.#fields(room, part, ["joined_count", "invited_count", "notification_count", "highlight_count"]);
      if (part["errcode"] !== undefined) this.rooms.delete(id);
    }
    for (const entry of answer["room_list"]?.rooms ?? []) {
      // The list may be sent before the room, which waits for its members.
      const room = this.rooms.get(entry.room_id) ?? this.#newRoom(entry.room_id, "join");
      this.#fields(room, entry, ["name", "avatar", "heroes", "joined_count", "invited_count", "notification_count", "highlight_count", "is_dm"]);
    }
    for (const id of answer["room_list"]?.removed ?? []) this.rooms.delete(id);
    for (const id of answer["invites"]?.gone ?? []) if (this.rooms.get(id)?.membership !== "join") this.rooms.delete(id);
    for (const [id, part] of entries(answer["invites"]?.rooms)) {
      const kind = part["invite_state"] ? "invite" : "knock";
      this.#pending(id, kind, part[`${kind}_state`].events);
    }
    for (const event of answer["typing"]?.events ?? []) this.#ephemeral(event.room_id, event);
    for (const [id, event] of entries(answer["receipts"]?.rooms)) this.#ephemeral(id, event);
    this.#data("", answer["account_data"]?.global);
    for (const [id, events] of entries(answer["account_data"]?.rooms)) this.#data(id, events as Loose[]);
    this.#keyCounts(answer["e2ee"]);
    return this;
  }

  applySliding(answer: SlidingAnswer): this {
    for (const [id, part] of Object.entries(answer.rooms)) this.#slidingRoom(id, part);
    const { typing, receipts, account_data: data, e2ee } = answer.extensions;
    for (const section of [typing, receipts]) for (const [id, event] of entries(section?.rooms)) this.#ephemeral(id, event);
    this.#data("", data?.global);
    for (const [id, events] of entries(data?.rooms)) this.#data(id, events as Loose[]);
    this.#keyCounts(e2ee);
    return this;
  }

  #slidingRoom(id: string, part: Loose): void {
    if (part["invite_state"] !== undefined) {
      const own = (part["invite_state"] as Loose[]).find((event) => event["type"] === MEMBER && event["state_key"] === this.me);
      this.#pending(id, own?.["content"]?.membership ?? "invite", part["invite_state"]);
      return;
    }
    const known = this.rooms.get(id);
    const room = part["initial"] === true || !known ? this.#newRoom(id, "join") : known;
    if (part["limited"] === true || part["unstable_expanded_timeline"] === true) room.timeline = [];
    if (part["limited"] !== undefined && (part["initial"] === true || part["limited"])) room.limited = part["limited"];
    const state = (part["required_state"] ?? []) as Loose[];
    // `required_state` is the state after the timeline.
    this.#events(room, [], part["timeline"] ?? []);
    for (const event of state) {
      const key = `${event["type"]}|${event["state_key"]}`;
      if (event["content"] === undefined) room.state.delete(key);
      else room.state.set(key, event);
    }
    room.membership = part["membership"] ?? room.state.get(`${MEMBER}|${this.me}`)?.["content"]?.membership ?? "join";
    this.#fields(room, part, ["name", "avatar", "heroes", "joined_count", "invited_count", "notification_count", "highlight_count", "is_dm"]);
  }

  #newRoom(id: string, membership: string): RoomView {
    const room = new RoomView();
    room.membership = membership;
    this.rooms.set(id, room);
    return room;
  }

  #pending(id: string, kind: string, events: readonly Loose[]): void {
    const room = this.#newRoom(id, kind);
    room.inviter = events.findLast(({ type, state_key }) => type === MEMBER && state_key === this.me)?.["sender"];
    for (const { type, state_key, content } of events) room.stripped.set(`${type}|${state_key}`, content);
  }

  #fields(room: RoomView, part: Loose, names: readonly string[]): void {
    for (const name of names) {
      const value = part[name];
      if (value === undefined) continue;
      room.fields[name] = name === "heroes" ? (value as Loose[]).map((hero) => hero["user_id"]) : (value ?? undefined);
    }
  }

  /** State as it was before the timeline, and the timeline. */
  #events(room: RoomView, state: readonly Loose[], timeline: readonly Loose[]): void {
    for (const event of [...state, ...timeline]) {
      if (event["state_key"] !== undefined) room.state.set(`${event["type"]}|${event["state_key"]}`, event);
      const redacts = event["redacts"] ?? event["content"]?.redacts;
      if (event["type"] === "m.room.redaction" && redacts !== undefined) redact(room, redacts);
    }
    room.timeline.push(...timeline);
  }

  #ephemeral(id: string, { type, content }: Loose): void {
    if (type === "m.typing") this.typing.set(id, [...content.user_ids].sort());
    if (type !== "m.receipt") return;
    for (const [event, kinds] of entries(content)) {
      for (const [kind, users] of entries(kinds)) {
        for (const [user, data] of entries(users)) this.receipts.set(`${id} ${user} ${kind} ${data["thread_id"] ?? ""}`, event);
      }
    }
  }

  #data(id: string, events: readonly Loose[] = []): void {
    for (const event of events) this.accountData.set(`${id} ${event["type"]}`, event["content"]);
  }

  #keyCounts(e2ee: Loose | undefined): void {
    const counts = e2ee?.["device_one_time_keys_count"];
    // Sliding sync's clients take "unlisted" for "unchanged".
    if (counts) this.keys = { ...this.keys, ...counts };
    this.fallbacks = e2ee?.["device_unused_fallback_key_types"] ?? this.fallbacks;
  }
}

/** As clients do when they hear of a redaction. */
function redact(room: RoomView, id: string): void {
  for (const event of [...room.timeline, ...room.state.values()]) if (event["event_id"] === id) event["redacted"] = true;
}

function entries(of: Loose | undefined): [string, Loose][] {
  return Object.entries(of ?? {}) as [string, Loose][];
}
