/** A v2 response that ends rooms which the homeserver no longer has for the user, and never said so (T1). */

import { randomBytes } from "node:crypto";
import type { RoomId, UserId } from "../../wire/ids.ts";
import { cutResponse, type V2Response } from "../../wire/v2-response.ts";

/**
 * Each room is left, by a member event that we make: clients learn their membership from nothing else. It is state, never in a timeline, since
 * the homeserver knows no such event.
 * @param now ms
 */
export function madeLeave(rooms: readonly RoomId[], me: UserId, now: number): V2Response {
  const sections = rooms.map((room) => {
    const event = {
      type: "m.room.member",
      state_key: me,
      sender: me,
      content: { membership: "leave" },
      event_id: `$${randomBytes(32).toString("base64url")}`,
      origin_server_ts: now,
      unsigned: { "syncv3.made": true },
    };
    return [room, { state: { events: [event] }, timeline: { events: [], limited: false } }] as const;
  });
  return cutResponse(JSON.stringify({ next_batch: "made", rooms: { leave: Object.fromEntries(sections) } }), now);
}
