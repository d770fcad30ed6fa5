/** Bodies of simplified sliding sync as its clients send them, but for their `conn_id`. */

import type { Json } from "./events.ts";

const LISTED_STATE = [
  ["m.room.name", ""],
  ["m.room.encryption", ""],
  ["m.room.member", "$LAZY"],
  ["m.room.member", "$ME"],
  ["m.room.topic", ""],
  ["m.room.avatar", ""],
  ["m.room.canonical_alias", ""],
  ["m.room.power_levels", ""],
  ["org.matrix.msc3401.call.member", "*"],
  ["m.room.join_rules", ""],
  ["m.room.tombstone", ""],
  ["m.room.create", ""],
  ["m.room.history_visibility", ""],
  ["io.element.functional_members", ""],
  ["m.space.parent", "*"],
  ["m.space.child", "*"],
  ["org.matrix.msc3672.beacon_info", "*"],
];

const OPEN_STATE = [...LISTED_STATE, ["m.room.pinned_events", ""]];

/** Element X's room list with a window of so many rooms, and those that are open. */
export function elementRoomList(size: number, openRooms: readonly string[] = []): Json {
  const opened = openRooms.map((roomId) => [roomId, { timeline_limit: 20, required_state: OPEN_STATE }] as const);
  return {
    lists: { all_rooms: { ranges: [[0, size - 1]], required_state: LISTED_STATE, timeline_limit: 1, filters: {} } },
    ...(opened.length > 0 && { room_subscriptions: Object.fromEntries(opened) }),
    extensions: { account_data: { enabled: true }, receipts: { enabled: true, rooms: ["*"] }, typing: { enabled: true } },
  };
}

/** Element X's connection for keys and to-device messages; `since` as of the last answer. */
export function elementEncryption(since?: string): Json {
  return { extensions: { to_device: { enabled: true, ...(since !== undefined && { since }) }, e2ee: { enabled: true } } };
}

/** What Element X asks of the rooms that it shows notifications of, and of invites. */
export function elementNotifications(roomIds: readonly string[]): Json {
  const required_state = [
    ["m.room.encryption", ""],
    ["m.room.member", "$LAZY"],
    ["m.room.member", "$ME"],
    ["m.room.canonical_alias", ""],
    ["m.room.name", ""],
    ["m.room.avatar", ""],
    ["m.room.power_levels", ""],
    ["m.room.join_rules", ""],
    ["org.matrix.msc3401.call.member", "*"],
    ["m.room.create", ""],
    ["io.element.functional_members", ""],
  ];
  return {
    lists: { invites: { ranges: [[0, 16]], timeline_limit: 8, required_state, filters: { is_invite: true } } },
    room_subscriptions: Object.fromEntries(roomIds.map((roomId) => [roomId, { timeline_limit: 16, required_state }])),
    extensions: { account_data: { enabled: true } },
  };
}

/** Element Web's: some lists, everything of the open rooms. `toDevice`: with its to-device messages as well. */
export function elementWeb(openRooms: readonly string[], toDevice = false): Json {
  const required_state = [
    ["m.room.name", ""],
    ["m.room.encryption", ""],
    ["m.room.member", "$LAZY"],
    ["m.room.member", "$ME"],
    ["m.room.create", ""],
  ];
  const list = (filters: Json, size = 20): Json => ({ ranges: [[0, size - 1]], timeline_limit: 1, required_state, filters, include_heroes: true });
  const open = {
    timeline_limit: 50,
    required_state: [
      ["*", "*"],
      ["m.room.member", "$ME"],
      ["m.room.member", "$LAZY"],
    ],
  };
  return {
    lists: {
      spaces: list({ room_types: ["m.space"] }),
      invites: list({ is_invite: true }),
      favourites: list({ tags: ["m.favourite"] }),
      dms: list({ is_dm: true, is_invite: false, not_tags: ["m.favourite", "m.lowpriority"] }),
      untagged: list({ is_dm: false, is_invite: false, not_room_types: ["m.space"], not_tags: ["m.favourite", "m.lowpriority"] }, 100),
    },
    room_subscriptions: Object.fromEntries(openRooms.map((roomId) => [roomId, open])),
    extensions: {
      account_data: { enabled: true },
      typing: { enabled: true },
      receipts: { enabled: true },
      ...(toDevice && { to_device: { limit: 100, enabled: true }, e2ee: { enabled: true } }),
    },
  };
}

/** One list of everything, for its filters' or its state's sake. */
export function oneList(list: Json): Json {
  return { lists: { l: { ranges: [[0, 99]], timeline_limit: 1, required_state: [], ...list } } };
}
