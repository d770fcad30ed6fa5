/** Bounds of what a connection remembers, however its requests differ (N10). */

import type { RoomId } from "../wire/ids.ts";
import { requestBounds } from "../wire/request-bounds.ts";
import { type ConnectionState, type SentRoom, STRIPPED } from "./connection-state.ts";
import type { SlidingBody } from "./request.ts";
import { matcherOf, NO_STATE, overlap, type RequiredState } from "./required-state.ts";
import type { ChosenRoom } from "./select.ts";

/**
 * If there are more subscriptions than the bounds allow, those whose rooms were sent longest ago end. Clients of the unstable dialect only ever add
 * some, and would take a 400 for the end of the connection.
 */
export function boundSubscriptions(body: SlidingBody, state: ConnectionState): SlidingBody {
  const surplus = body.subscriptions.size - requestBounds().unstableSubscriptions;
  if (surplus <= 0) return body;
  const oldest: RoomId[] = [];
  for (const roomId of state.rooms.keys()) if (oldest.length < surplus && body.subscriptions.has(roomId)) oldest.push(roomId);
  const ended = new Set(oldest);
  const remaining = [...body.subscriptions].filter(([roomId]) => !ended.has(roomId));
  return { ...body, subscriptions: new Map(remaining.slice(surplus - oldest.length)) };
}

/**
 * The state, without some of its configs if all of them together are too large: for rooms that are asked about now, only what is still asked for
 * remains; for others nothing. What is forgotten is sent again when it is asked for again.
 * @param chosen the rooms that the request asks about
 */
export function withinBounds(state: ConnectionState, chosen: ReadonlyMap<RoomId, ChosenRoom>): ConnectionState {
  const characters = state.configs.reduce((sum, config) => sum + matcherOf(config).key.length, 0);
  if (characters <= requestBounds().rememberedCharacters) return state;
  const configs: RequiredState[] = [];
  const indices = new Map<string, number>();
  const indexOf = (config: RequiredState): number => {
    const { key } = matcherOf(config);
    let index = indices.get(key);
    if (index === undefined) indices.set(key, (index = configs.push(config) - 1));
    return index;
  };
  const shortened = (record: SentRoom, roomId: RoomId): SentRoom => {
    const known = state.configs[record.config];
    if (record.config === STRIPPED || !known) return record;
    const asked = chosen.get(roomId)?.config.requiredState;
    return { ...record, config: indexOf(asked ? overlap(known, asked) : NO_STATE) };
  };
  const rooms = new Map([...state.rooms].map(([roomId, record]) => [roomId, shortened(record, roomId)]));
  const sticky = new Map(
    [...state.sticky].map(([roomId, [limit, config]]) => [roomId, [limit, indexOf(state.configs[config] ?? NO_STATE)] as const]),
  );
  return { ...state, configs, rooms, sticky };
}
