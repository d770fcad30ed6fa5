/**
 * How much one request may ask for (N10): one table for sync v3 and both dialects of sliding sync. Each bound is at least 20 times the
 * largest known value of any client, SDK or bench; docs/PROTOCOL.md lists them. Sticky parameters count together with what the request adds.
 */

import { invalidParam } from "./errors.ts";

const BOUNDS = {
  /** Sliding sync's lists. */
  lists: 100,
  /** Windows of one list. */
  ranges: 50,
  /** Rooms in all windows of all lists together, which the answer names. */
  listedRooms: 200_000,
  /** Room subscriptions of /v4/sync, as MSC4186 has it. */
  subscriptions: 100,
  /**
   * Room subscriptions of the unstable dialect: above it the oldest end. Its clients only ever add some, and take a 400 for the end of the
   * connection.
   */
  unstableSubscriptions: 10_000,
  /** Subscriptions of matrix-js-sdk that a connection remembers: above it the oldest end. */
  stickySubscriptions: 100,
  /** Entries of one required_state. One that is narrowed by exclusions counts once more for each of them. */
  stateEntries: 500,
  /** Entries of all different required_state of a request. */
  allStateEntries: 2000,
  /** All different required_state of a request, as JSON. */
  stateCharacters: 250_000,
  /**
   * Different combinations of the lists' required_state, for rooms that are in several lists; above it every room is sent everything that
   * any list asks for.
   */
  combinations: 100,
  /** Those combinations, as JSON. */
  combinedCharacters: 250_000,
  /** Entries that a connection remembers for a room although they are not asked for any more. */
  rememberedEntries: 500,
  /**
   * All required_state that a connection remembers, as JSON: above it, what is not asked for any more is forgotten, and sent again when it
   * is asked for.
   */
  rememberedCharacters: 250_000,
  /** Values of one filter: tags, room types, spaces. */
  filterValues: 100,
  /** `fields` of the profiles extension. */
  profileFields: 100,
  /** Characters of `room_name_like`. */
  nameCharacters: 500,
  /** Lists that one extension names. */
  scopeLists: 1000,
  /** Rooms that one extension, `unsubscribe_rooms`, or sync v3's `account_data.rooms` names. */
  namedRooms: 10_000,
  /** Subscribed rooms of one answer for which older history is looked up, and fetched from the homeserver. */
  olderRooms: 100,
  /** Sync v3: entries of `state` and `state_events`. */
  statePairs: 500,
  /** Sync v3: `types`, `not_types`. */
  timelineTypes: 100,
  /** Sync v3: `earliest_timeline_event_ids`. */
  earliestIds: 2000,
  /** Sync v3: values of `membership` and of `p.sort`. */
  choices: 100,
  /** Sync v3: rooms that start in the `room` stream in one answer; the next answers have the others. */
  startingRooms: 200,
  /** Sync v3: all parameters of a session, as JSON. */
  parameterCharacters: 250_000,
} as const;

export type RequestBounds = Readonly<Record<keyof typeof BOUNDS, number>>;

let current: RequestBounds = BOUNDS;

/** The bounds in force. */
export function requestBounds(): RequestBounds {
  return current;
}

/** For tests: all bounds times `factor`, at least 1. */
export function scaleRequestBounds(factor: number): void {
  current = Object.fromEntries(Object.entries(BOUNDS).map(([name, most]) => [name, Math.max(1, Math.floor(most * factor))])) as RequestBounds;
}

/**
 * @param what the field, e.g. `lists.a.ranges`
 * @throws MatrixError 400 M_INVALID_PARAM that names field and bound
 */
export function atMost(what: string, count: number, most: number, unit = "entries"): void {
  if (count > most) throw invalidParam(`${what}: at most ${most} ${unit}`);
}
