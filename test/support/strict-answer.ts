/**
 * Whether a strict client reads an answer (N6). Of the unstable dialect as ruma does (`sync_events::v5` of ruma-client-api 0.25, with typing
 * and receipts looked into): test/recordings/strict-answers.jsonl holds what ruma itself says, and a test that both agree. Of the others
 * what a client on ruma's types would ask for: ids, counts and well-formed texts.
 */

import { isIPv6 } from "node:net";
import { skipSpace } from "../../src/wire/json-scan.ts";
import { bool, list, map, number, orNull, raw, Refused, type Shape, sound, str, struct, uint } from "./strict-json.ts";

// ---- ids: ruma-identifiers-validation 0.12

function isServerName(name: string): boolean {
  const host = name.startsWith("[") ? name.slice(0, name.indexOf("]") + 1) : (/^[^:]*/.exec(name)?.[0] ?? "");
  const isHost = host.startsWith("[") ? isIPv6(host.slice(1, -1)) && !host.includes("%") : /^[A-Za-z0-9.-]+$/.test(host);
  const rest = name.slice(host.length);
  return isHost && (rest === "" || (/^:\+?\d+$/.test(rest) && Number(rest.slice(1)) < 65_536));
}

const isShort = (id: string) => Buffer.byteLength(id) <= 255;
const afterColon = (id: string) => id.slice(id.indexOf(":") + 1);
const isUserId = (id: string) => isShort(id) && /^@[^:\0]*:/.test(id) && isServerName(afterColon(id));
const isRoomId = (id: string) => isShort(id) && id.startsWith("!") && !id.includes("\0");
const isEventId = (id: string) => id.startsWith("$") && (!id.includes(":") || (isShort(id) && isServerName(afterColon(id))));

const text = str();
const texts = list(text);
const userId = str(isUserId, "user id");
const roomId = str(isRoomId, "room id");
const eventId = str(isEventId, "event id");
const thread = str((value) => !value.startsWith("$") || isEventId(value), "thread");

// ---- what all have

const events = list(raw);
const hero = struct({ user_id: userId, displayname: orNull(text), avatar_url: orNull(text) }, ["user_id"]);
const receipt = struct({ ts: orNull(uint), thread_id: thread });
const receiptContent = map(eventId, map(text, map(userId, receipt)));
const typingContent = struct({ user_ids: list(userId) }, ["user_ids"]);
const eventOf = (content: Shape) => struct({ content, type: text }, ["content", "type"]);
const e2ee = struct({
  device_lists: struct({ changed: list(userId), left: list(userId) }),
  device_one_time_keys_count: map(text, uint),
  device_unused_fallback_key_types: orNull(texts),
});
const accountData = struct({ global: events, rooms: map(roomId, events) });
const toDevice = struct({ next_batch: text, events }, ["next_batch"]);
const threadsOf = (change: Shape) => map(roomId, map(eventId, change));
const threads = struct({
  subscribed: threadsOf(struct({ automatic: bool, bump_stamp: uint }, ["automatic", "bump_stamp"])),
  unsubscribed: threadsOf(struct({ bump_stamp: uint }, ["bump_stamp"])),
  prev_batch: orNull(text),
});
const presence = struct({ events: list(struct({ type: text, sender: userId, content: map(raw, raw) }, ["type", "sender", "content"])) }, ["events"]);
const profiles = struct({ users: map(userId, orNull(struct({ updated: map(text, sound), removed: texts }))) });
const stickyEvents = struct({ next_batch: text, rooms: map(roomId, struct({ events }, ["events"])) });
const inRooms = (shape: Shape) => struct({ rooms: map(roomId, shape) });

const slidingRoom = {
  name: orNull(text),
  avatar: orNull(text),
  initial: orNull(bool),
  is_dm: orNull(bool),
  timeline: events,
  required_state: events,
  prev_batch: orNull(text),
  limited: bool,
  joined_count: orNull(uint),
  invited_count: orNull(uint),
  num_live: orNull(uint),
  bump_stamp: orNull(uint),
  heroes: orNull(list(hero)),
};

const unstable = struct(
  {
    txn_id: orNull(text),
    pos: text,
    lists: map(text, struct({ count: uint }, ["count"])),
    rooms: map(
      roomId,
      // serde reads what it does not know here too, as the counts are in a struct that is flattened into this one.
      struct({ ...slidingRoom, invite_state: orNull(events), notification_count: orNull(uint), highlight_count: orNull(uint) }, [], sound),
    ),
    extensions: struct({
      to_device: orNull(toDevice),
      e2ee,
      account_data: accountData,
      receipts: inRooms(eventOf(receiptContent)),
      typing: inRooms(eventOf(typingContent)),
      presence,
      "io.element.msc4308.thread_subscriptions": threads,
      "org.matrix.msc4262.profiles": profiles,
      "org.matrix.msc4354.sticky_events": stickyEvents,
    }),
  },
  ["pos"],
);

// ---- v4: extensions under the name they were asked with

const V4_EXTENSIONS: readonly (readonly [names: readonly string[], shape: Shape])[] = [
  [["to_device", "org.matrix.msc4538.to_device"], toDevice],
  [["e2ee", "org.matrix.msc4543.e2ee"], e2ee],
  [["account_data", "org.matrix.msc4548.account_data"], accountData],
  [["receipts", "org.matrix.msc4551.receipts"], inRooms(receiptContent)],
  [["profiles", "org.matrix.msc4262.profiles"], profiles],
  [["sticky_events", "org.matrix.msc4354.sticky_events"], stickyEvents],
  [["typing", "org.matrix.msc4508.typing"], inRooms(typingContent)],
  [["presence"], presence],
  [["thread_subscriptions", "io.element.msc4308.thread_subscriptions"], threads],
];

const v4 = struct(
  {
    pos: text,
    lists: map(text, struct({ count: uint }, ["count"])),
    rooms: map(roomId, struct({ ...slidingRoom, membership: text, lists: texts, stripped_state: events, expanded_timeline: bool }, ["membership"])),
    extensions: struct(Object.fromEntries(V4_EXTENSIONS.flatMap(([names, shape]) => names.map((name) => [name, shape])))),
  },
  ["pos", "rooms", "extensions"],
);

// ---- v3

const count = orNull(uint);
const counts = { notification_count: count, highlight_count: count, joined_count: count, invited_count: count };
const entry = struct(
  {
    ...counts,
    room_id: roomId,
    name: orNull(text),
    avatar: orNull(text),
    heroes: orNull(list(hero)),
    is_dm: orNull(bool),
    is_encrypted: orNull(bool),
    tags: orNull(sound),
    space_order: struct({ order: orNull(text), origin_server_ts: number }, ["order", "origin_server_ts"]),
    recency: number,
    state_events: events,
    prev_batch: orNull(text),
    timeline: events,
    limited: bool,
  },
  ["room_id", "recency"],
);
const room = struct({
  ...counts,
  initial: bool,
  state: struct({ events, state_before: text }, ["events"]),
  members: struct({ events }, ["events"]),
  timeline: struct({ events, limited: bool, prev_batch: orNull(text) }, ["events", "limited", "prev_batch"]),
});
const pending = struct({ events }, ["events"]);

const v3 = struct(
  {
    next: text,
    typing: struct({ events: list(struct({ type: text, room_id: roomId, content: typingContent }, ["type", "content"])) }),
    to_device: struct({ limit: uint, events }, ["limit", "events"]),
    feed: struct(
      {
        limit: uint,
        entries: list(
          struct(
            { place: uint, event: raw, gap: struct({ room_id: roomId, after: text, before: text, prev_batch: text }, ["room_id", "prev_batch"]) },
            ["place"],
          ),
        ),
      },
      ["limit", "entries"],
    ),
    room_members: struct({ events }),
    room: struct({ rooms: map(roomId, room) }),
    room_list: struct(
      {
        rooms: list(entry),
        count: uint,
        removed: list(roomId),
        notifications: list(struct({ room_id: roomId, notification_count: count, highlight_count: count, events, timeline: events }, ["room_id"])),
      },
      ["rooms", "count"],
    ),
    invites: struct({ rooms: map(roomId, struct({ invite_state: pending, knock_state: pending })), gone: list(roomId) }),
    account_data: accountData,
    receipts: inRooms(eventOf(receiptContent)),
    presence,
    e2ee,
  },
  ["next"],
);

export const UNSTABLE_PATH = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
const SHAPES: ReadonlyMap<string, Shape> = new Map([
  [UNSTABLE_PATH, unstable],
  ["/_matrix/client/v4/sync", v4],
  ["/_matrix/client/v3/sync", v3],
]);

/** Why a strict client could not read an answer of the path; null: it can, or the path has no such answers. */
export function strictFault(path: string, body: string): string | null {
  const shape = SHAPES.get(path);
  if (!shape) return null;
  try {
    shape(body, skipSpace(body, 0), "");
    return null;
  } catch (error) {
    if (error instanceof Refused) return error.message;
    throw error;
  }
}
