/** What a homeserver tells in these tests: a room, and to-device messages and events with numbers. */

import { ev, type Json, newRoom, toDevice, v2 } from "../support/fake-homeserver.ts";

/** An account's first answer: one room. */
export function firstAnswer(userId: string, roomId: string): Json {
  return v2({ join: { [roomId]: { state: newRoom(userId) } } });
}

/** A response with so many messages and events, numbered from `first`; `time`: of the events, ms. */
export function numbered(roomId: string, first: number, count = 1, time = Date.now()): Json {
  const numbers = Array.from({ length: count }, (_, i) => first + i);
  return v2({
    join: { [roomId]: { timeline: numbers.map((n) => ({ ...ev.message("@bob:test"), content: { n }, origin_server_ts: time })) } },
    to_device: numbers.map((n) => toDevice("@bob:test", { n })),
  });
}
