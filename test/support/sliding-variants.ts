/** Variants of what simplified sliding sync can be asked for: each a list, or the extensions, of a request of its own. */

import type { Json } from "./events.ts";
import type { VariedAccount } from "./varied-account.ts";

/** Filters, alone and together. */
export const FILTERS: readonly Json[] = [
  { is_dm: true },
  { is_dm: false },
  { is_encrypted: true },
  { is_encrypted: false },
  { is_invite: true },
  { is_invite: false },
  { room_types: ["m.space"] },
  { room_types: [null] },
  { room_types: ["m.space", null] },
  { room_types: ["test.unknown"] },
  { room_types: [] },
  { not_room_types: ["m.space"] },
  { not_room_types: [null] },
  { room_types: ["m.space", null], not_room_types: ["m.space"] },
  { tags: ["m.favourite"] },
  { tags: ["m.favourite", "m.lowpriority"] },
  { tags: [] },
  { not_tags: ["m.favourite"] },
  { not_tags: ["m.favourite", "m.lowpriority"] },
  { tags: ["m.favourite", "m.lowpriority"], not_tags: ["m.lowpriority"] },
  { is_dm: false, is_encrypted: false, is_invite: false, not_room_types: ["m.space"], not_tags: ["m.lowpriority"] },
  { is_dm: true, is_encrypted: true },
];

const NAME = ["m.room.name", ""];
const ALL = ["*", "*"];
const EVERYONE = ["m.room.member", "*"];
const LAZY = ["m.room.member", "$LAZY"];
const ME = ["m.room.member", "$ME"];

/** State that is asked for, with the number of timeline events that lazy members are taken from. */
export const STATES: readonly { timeline_limit: number; required_state: string[][] }[] = [
  { timeline_limit: 0, required_state: [] },
  { timeline_limit: 1, required_state: [NAME] },
  { timeline_limit: 1, required_state: [ALL] },
  { timeline_limit: 1, required_state: [EVERYONE] },
  { timeline_limit: 1, required_state: [ME] },
  { timeline_limit: 3, required_state: [LAZY] },
  { timeline_limit: 10, required_state: [LAZY, ME] },
  { timeline_limit: 50, required_state: [LAZY] },
  { timeline_limit: 2, required_state: [EVERYONE, LAZY] },
  { timeline_limit: 0, required_state: [["m.room.name", "*"]] },
  { timeline_limit: 0, required_state: [NAME, NAME, ["test.unknown", "x"]] },
];

/** State of every type, but not every event of it. */
export const NARROWED_STATES: readonly { timeline_limit: number; required_state: string[][] }[] = [
  { timeline_limit: 1, required_state: [ALL, LAZY] },
  { timeline_limit: 1, required_state: [ALL, ME] },
  { timeline_limit: 1, required_state: [["*", "test.key"]] },
  { timeline_limit: 1, required_state: [["*", "test.key"], NAME] },
];

/** How much of the timeline. */
export const TIMELINES: readonly number[] = [0, 2, 10, 20, 50, 100];

/** Windows on the list of all rooms. */
export const WINDOWS: readonly Json[] = [
  { ranges: [[0, 0]] },
  { ranges: [[5, 9]] },
  {
    ranges: [
      [0, 1],
      [10, 11],
    ],
  },
  { ranges: [[90, 99]] },
  { ranges: [[5, 99]] },
];

/** What asks for all rooms, and Synapse does not tell them for. */
export const ALL_ROOMS_WINDOWS: readonly Json[] = [{ ranges: undefined }, { ranges: [[0, 1]], slow_get_all_rooms: true }];

/** Which rooms the extensions tell of; there are two lists, `few` and `favourites`, and two subscriptions. */
export function extensionScopes({ room }: VariedAccount): readonly Json[] {
  return [
    {},
    { lists: [], rooms: [] },
    { lists: ["*"], rooms: [] },
    { lists: [], rooms: ["*"] },
    { lists: ["favourites"], rooms: [] },
    { lists: ["few", "unknown"] },
    { rooms: [room("long")] },
    { lists: [], rooms: [room("long"), room("related")] },
  ];
}

/** A request with all extensions that tell of rooms, in a scope. */
export function scopedRequest({ room }: VariedAccount, scope: Json): Json {
  const list = { timeline_limit: 1, required_state: [] };
  return {
    lists: { few: { ...list, ranges: [[0, 2]] }, favourites: { ...list, ranges: [[0, 9]], filters: { tags: ["m.favourite"] } } },
    room_subscriptions: { [room("long")]: list, [room("dm")]: list },
    extensions: Object.fromEntries(["account_data", "receipts", "typing"].map((name) => [name, { enabled: true, ...scope }])),
  };
}

/** Requests that are refused, and what is wrong with them. */
export const REFUSED: readonly (readonly [name: string, body: Json])[] = [
  ["lists that is a list", { lists: [] }],
  ["a range that is a number", { lists: { l: { ranges: [1], timeline_limit: 1, required_state: [] } } }],
  ["a range that begins below zero", { lists: { l: { ranges: [[-1, 1]], timeline_limit: 1, required_state: [] } } }],
  ["a timeline_limit that is text", { lists: { l: { ranges: [[0, 1]], timeline_limit: "1", required_state: [] } } }],
  ["a timeline_limit that is too high", { lists: { l: { ranges: [[0, 1]], timeline_limit: 1001, required_state: [] } } }],
  ["a list without a timeline_limit", { lists: { l: { ranges: [[0, 1]], required_state: [] } } }],
  ["a list without a required_state", { lists: { l: { ranges: [[0, 1]], timeline_limit: 1 } } }],
  ["a required_state that is not of pairs", { lists: { l: { ranges: [[0, 1]], timeline_limit: 1, required_state: [["m.room.name"]] } } }],
  ["a filter of another type", { lists: { l: { ranges: [[0, 1]], timeline_limit: 1, required_state: [], filters: { is_dm: "yes" } } } }],
  ["a conn_id that is a number", { conn_id: 1 }],
  ["an extension that is a number", { extensions: { typing: 1 } }],
  ["a subscription that is text", { room_subscriptions: { "!a:b": "yes" } }],
];

const TOPIC = ["m.room.topic", ""];
/** What is asked of one room, one time after the other: the number of events, and the state. */
export const GROWING: readonly (readonly [number, ...string[][]])[] = [
  [1],
  [1, TOPIC],
  [1],
  [1, TOPIC],
  [5, TOPIC],
  [2, TOPIC],
  [5, TOPIC],
  [5, TOPIC, ME],
  [5, TOPIC, ME, LAZY],
  [10, TOPIC, ME, LAZY],
  [10, TOPIC, ["m.room.member", "*"]],
  [20, TOPIC, ["m.room.member", "*"]],
  [20, ["*", "*"]],
  [0, TOPIC],
];
