/** Short builders for what a homeserver sends: events, v2 responses. Every event gets an id and a timestamp of its own. */

export type Json = Record<string, unknown>;
export type MatrixEvent = Json & { type: string; event_id: string; sender: string; origin_server_ts: number; content: Json; state_key?: string };

let counter = 0;

/** Any event. `over` replaces or adds top-level fields (`event_id`, `unsigned`, `origin_server_ts`, …). */
function event(type: string, sender: string, content: Json, over: Json = {}): MatrixEvent {
  counter += 1;
  return { type, event_id: `$e${counter}`, sender, origin_server_ts: 1_700_000_000_000 + counter * 1000, content, ...over };
}

/** A state event. */
function state(type: string, stateKey: string, sender: string, content: Json, over: Json = {}): MatrixEvent {
  return event(type, sender, content, { state_key: stateKey, ...over });
}

export const ev = {
  event,
  state,
  message: (sender: string, body = "hello", over: Json = {}) => event("m.room.message", sender, { msgtype: "m.text", body }, over),
  /** A sticky message (MSC4354), for so many ms more. */
  sticky: (sender: string, left = 600_000, over: Json = {}) =>
    event("m.rtc.member", sender, {}, { msc4354_sticky: { duration_ms: 600_000 }, unsigned: { msc4354_sticky_duration_ttl_ms: left }, ...over }),
  encrypted: (sender: string, over: Json = {}) => event("m.room.encrypted", sender, { algorithm: "m.megolm.v1.aes-sha2", ciphertext: "x" }, over),
  redaction: (sender: string, redacts: string, over: Json = {}) => event("m.room.redaction", sender, { redacts }, { redacts, ...over }),
  create: (creator: string, content: Json = {}, over: Json = {}) =>
    state("m.room.create", "", creator, { creator, room_version: "10", ...content }, over),
  /** `user`'s own membership; `extra` goes to the content (`displayname`), `over` to the event (`sender` of an invite, `unsigned`). */
  member: (user: string, membership = "join", extra: Json = {}, over: Json = {}) =>
    state("m.room.member", user, user, { membership, ...extra }, over),
  name: (sender: string, name: string, over: Json = {}) => state("m.room.name", "", sender, { name }, over),
  topic: (sender: string, topic: string, over: Json = {}) => state("m.room.topic", "", sender, { topic }, over),
  joinRules: (sender: string, rule = "public", over: Json = {}) => state("m.room.join_rules", "", sender, { join_rule: rule }, over),
  powerLevels: (sender: string, users: Json, content: Json = {}, over: Json = {}) =>
    state("m.room.power_levels", "", sender, { users, ...content }, over),
  encryption: (sender: string, over: Json = {}) => state("m.room.encryption", "", sender, { algorithm: "m.megolm.v1.aes-sha2" }, over),
  spaceChild: (sender: string, room: string, content: Json = { via: ["test"] }, over: Json = {}) =>
    state("m.space.child", room, sender, content, over),
};

/** A room as its creator first sees it: create, own join, power levels, join rules. */
export function newRoom(creator: string, content: Json = {}): MatrixEvent[] {
  return [ev.create(creator, content), ev.member(creator), ev.powerLevels(creator, { [creator]: 100 }), ev.joinRules(creator)];
}

/** The ephemeral typing event of a room. */
export function typing(...users: string[]): Json {
  return { type: "m.typing", content: { user_ids: users } };
}

/** One receipt as an ephemeral event. */
export function receipt(eventId: string, user: string, kind = "m.read", data: Json = { ts: 1_700_000_000_000 }): Json {
  return { type: "m.receipt", content: { [eventId]: { [kind]: { [user]: data } } } };
}

/** A to-device message. */
export function toDevice(sender: string, content: Json = {}, type = "m.room_key_request"): Json {
  return { type, sender, content };
}

/** What a joined or left room of a v2 response may hold. */
export type RoomParts = {
  state?: Json[];
  /** In place of `state` (MSC4222). */
  state_after?: Json[];
  timeline?: Json[];
  limited?: boolean;
  prev_batch?: string;
  ephemeral?: Json[];
  /** Beside the timeline (MSC4354). */
  sticky?: Json[];
  account_data?: Json[];
  summary?: Json;
  unread?: { notification_count?: number; highlight_count?: number };
};

function roomSection(parts: RoomParts): Json {
  return {
    ...(parts.state_after ? { state_after: { events: parts.state_after } } : { state: { events: parts.state ?? [] } }),
    timeline: {
      events: parts.timeline ?? [],
      limited: parts.limited ?? false,
      ...(parts.prev_batch === undefined ? {} : { prev_batch: parts.prev_batch }),
    },
    ephemeral: { events: parts.ephemeral ?? [] },
    account_data: { events: parts.account_data ?? [] },
    ...(parts.sticky && { msc4354_sticky: { events: parts.sticky } }),
    ...(parts.summary ? { summary: parts.summary } : {}),
    ...(parts.unread ? { unread_notifications: parts.unread } : {}),
  };
}

function mapValues<T>(input: Readonly<Record<string, T>>, convert: (value: T) => Json): Json {
  return Object.fromEntries(Object.entries(input).map(([key, value]) => [key, convert(value)]));
}

/** What a v2 response may hold, with the shells left out. `invite` and `knock` are lists of stripped events by room. */
export type V2Parts = {
  next_batch?: string;
  join?: Record<string, RoomParts>;
  leave?: Record<string, RoomParts>;
  invite?: Record<string, Json[]>;
  knock?: Record<string, Json[]>;
  account_data?: Json[];
  presence?: Json[];
  /** What changed of users' profiles (MSC4429): user → field → value; null: the user shares no room any more. */
  profiles?: Json;
  to_device?: Json[];
  device_lists?: { changed?: string[]; left?: string[] };
  one_time_keys?: Record<string, number>;
  fallback_keys?: string[];
};

/** A v2 `/sync` response. Sections that are not named are absent. Without `next_batch` the fake homeserver numbers it. */
export function v2(parts: V2Parts = {}): Json {
  const rooms: Json = {};
  if (parts.join) rooms["join"] = mapValues(parts.join, roomSection);
  if (parts.leave) rooms["leave"] = mapValues(parts.leave, roomSection);
  if (parts.invite) rooms["invite"] = mapValues(parts.invite, (events) => ({ invite_state: { events } }));
  if (parts.knock) rooms["knock"] = mapValues(parts.knock, (events) => ({ knock_state: { events } }));
  return {
    ...(parts.next_batch === undefined ? {} : { next_batch: parts.next_batch }),
    ...(Object.keys(rooms).length > 0 ? { rooms } : {}),
    ...(parts.account_data ? { account_data: { events: parts.account_data } } : {}),
    ...(parts.presence ? { presence: { events: parts.presence } } : {}),
    ...(parts.profiles ? { "org.matrix.msc4429.users": mapValues(parts.profiles, (of) => ({ profile_updates: of })) } : {}),
    ...(parts.to_device ? { to_device: { events: parts.to_device } } : {}),
    ...(parts.device_lists ? { device_lists: parts.device_lists } : {}),
    ...(parts.one_time_keys ? { device_one_time_keys_count: parts.one_time_keys } : {}),
    ...(parts.fallback_keys ? { device_unused_fallback_key_types: parts.fallback_keys } : {}),
  };
}
