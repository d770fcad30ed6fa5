/**
 * Answers of simplified sliding sync in a form that two servers' can be compared in: what is a server's own (tokens, ages) is only there
 * or not, what has no order is keyed or sorted, room ids are labels. Trees of one connection can be joined.
 */

import type { Json } from "./events.ts";
import type { SlidingAnswer } from "./sliding-connection.ts";

export type Tree = unknown;
type Branch = Record<string, Tree>;

/** What a test calls a room. */
export type LabelOf = (roomId: string) => string;

const TOKEN = "a token";

/** What a room's `prev_batch` turned out to be, by its id. */
export type Places = ReadonlyMap<string, string>;

/** An answer as a tree. `places`: of the rooms whose `prev_batch` was tried. */
export function treeOf(answer: SlidingAnswer, labelOf: LabelOf, places: Places = new Map()): Tree {
  const { pos, lists, rooms, extensions, ...rest } = withoutAges(answer) as Json & SlidingAnswer;
  return {
    ...rest,
    pos: typeof pos === "string" ? TOKEN : pos,
    ...(lists && { lists: mapValues(lists, (list) => listTree(list, labelOf)) }),
    rooms: mapKeys(
      mapValues(rooms, (room, roomId) => roomTree(room, places.get(roomId))),
      labelOf,
    ),
    extensions: mapValues(extensions, (extension, name) => extensionTree(name, extension, labelOf)),
  };
}

/** What two answers of a connection tell, one after the other. */
export function joinTrees(first: Tree, then: Tree): Tree {
  if (Array.isArray(first) && Array.isArray(then)) return [...(first as Tree[]), ...(then as Tree[])];
  if (!isBranch(first) || !isBranch(then)) return then;
  const joined: Branch = { ...first };
  for (const [key, value] of Object.entries(then)) {
    const before = first[key];
    if (key === "num_live" && typeof before === "number" && typeof value === "number") joined[key] = before + value;
    else if (key === "device_lists" && isBranch(before) && isBranch(value)) joined[key] = joinDeviceLists(before, value);
    else joined[key] = REPLACED.has(key) || before === undefined ? value : joinTrees(before, value);
  }
  return joined;
}

/** Arrays and objects that are told as a whole each time. */
const REPLACED = new Set(["ops", "heroes", "user_ids", "content", "device_one_time_keys_count", "device_unused_fallback_key_types", "invite_state"]);

/** However often a user is told. */
function joinDeviceLists(first: Branch, then: Branch): Tree {
  return mapValues({ ...first, ...then }, (_, key) => {
    const [before, after] = [first[key], then[key]] as (string[] | undefined)[];
    return [...new Set([...(before ?? []), ...(after ?? [])])].toSorted();
  });
}

function listTree(list: Json, labelOf: LabelOf): Tree {
  const { ops, ...rest } = list;
  if (!Array.isArray(ops)) return list;
  return {
    ...rest,
    ops: (ops as Json[]).map(({ room_ids, ...op }) => {
      const labels = (room_ids as string[]).map(labelOf);
      // Synapse does not sort a list that its window holds as a whole.
      return { ...op, room_ids: labels.length === rest["count"] ? labels.toSorted() : labels };
    }),
  };
}

function roomTree(room: Json, place = TOKEN): Tree {
  return mapValues(room, (value, key) => {
    if (key === "prev_batch") return typeof value === "string" ? place : value;
    // How rooms stand to each other by it is compared apart.
    if (key === "bump_stamp") return Number.isInteger(value) && Number(value) >= 0 ? "a stamp" : value;
    if (key === "timeline") return timelineTree(value as Json[]);
    if (key === "required_state" || key === "invite_state")
      return keyed(value as Json[], ({ type, state_key }) => `${String(type)}|${String(state_key)}`);
    return value;
  });
}

function timelineTree(events: Json[]): Tree {
  return {
    order: events.map(({ type, event_id, state_key, content }) => {
      const { membership, body } = content as { membership?: unknown; body?: unknown };
      return [type, state_key, membership, body, event_id].filter((part) => typeof part === "string").join(" ");
    }),
    events: keyed(events, ({ event_id }) => String(event_id)),
  };
}

function extensionTree(name: string, extension: Json, labelOf: LabelOf): Tree {
  const rooms = (of: (value: Json) => Tree): Tree => mapKeys(mapValues((extension["rooms"] ?? {}) as Record<string, Json>, of), labelOf);
  switch (name) {
    case "to_device":
      return { ...extension, next_batch: typeof extension["next_batch"] === "string" ? TOKEN : extension["next_batch"] };
    case "e2ee": {
      const lists = extension["device_lists"] as Record<string, string[]> | undefined;
      return { ...extension, ...(lists && { device_lists: mapValues(lists, (users) => users.toSorted()) }) };
    }
    case "account_data": {
      const byType = (events: Json[]): Tree => keyed(events, ({ type }) => String(type));
      return { ...extension, global: byType(extension["global"] as Json[]), rooms: rooms((events) => byType(events as unknown as Json[])) };
    }
    case "typing":
      return { ...extension, rooms: rooms((event) => ({ ...event, content: sortedUsers(event["content"] as Json) })) };
    default:
      return { ...extension, rooms: rooms((event) => event) };
  }
}

function sortedUsers(content: Json): Tree {
  return { ...content, user_ids: (content["user_ids"] as string[]).toSorted() };
}

/** Items by what identifies them; a second one of the same name keeps a place of its own, so that it is seen. */
function keyed(items: readonly Json[], name: (item: Json) => string): Tree {
  const branch: Branch = {};
  for (const item of items) {
    let key = name(item);
    while (Object.hasOwn(branch, key)) key += " again";
    branch[key] = item;
  }
  return branch;
}

/** An event's age is another one at each moment. */
function withoutAges(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutAges);
  if (!isBranch(value)) return value;
  const copy = mapValues(value, withoutAges);
  const unsigned = copy["unsigned"];
  if (isBranch(unsigned) && Number.isInteger(unsigned["age"])) copy["unsigned"] = { ...unsigned, age: "an age" };
  return copy;
}

function mapValues<T, U>(object: Record<string, T>, map: (value: T, key: string) => U): Record<string, U> {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [key, map(value, key)]));
}

function mapKeys<T>(object: Record<string, T>, map: (key: string) => string): Record<string, T> {
  return Object.fromEntries(Object.entries(object).map(([key, value]) => [map(key), value]));
}

function isBranch(value: unknown): value is Branch {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
