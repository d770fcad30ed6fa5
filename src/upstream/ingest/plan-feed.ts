/** Which of a room's new events are recorded for feeds (S6): those from the user's own join on. */

import type { CutEvent } from "../../wire/event.ts";
import { isObject } from "../../wire/identifier.ts";
import type { UserId } from "../../wire/ids.ts";
import type { RoomWork } from "./room-work.ts";

/** Call it when the timeline is planned. */
export function planFeed({ draft, context, stored, section, to, split }: RoomWork): void {
  // A gap without an event after it begins with the next one.
  if (!context.feed || split.fresh.length === 0) return;
  const isMember = stored.membership === "join";
  const ords = draft.timeline.slice(-split.fresh.length).map((row) => row.ord);
  const joined = isMember ? 0 : split.fresh.findIndex((event) => isOwnJoin(event, context.me));
  // An invite was declined, or a knock taken back.
  if (joined < 0 && to === "leave" && !split.fresh.some((event) => isOwn(event, context.me) && membershipBefore(event) === "join")) return;
  const begin = Math.max(joined, 0);
  for (const ord of ords.slice(begin)) draft.feedEvents.push({ ord });
  const [ord = 0] = ords;
  if (isMember ? !split.gap : joined >= 0 || !section.limited) return;
  const prev_batch = split.before.length === 0 ? section.prev_batch : null;
  draft.feedGaps.push({ room_id: stored.room_id, ord, from_join: !isMember, prev_batch });
}

/** An own member event with which the user came into the room, and not a change of the profile. */
export function isOwnJoin(event: CutEvent, me: UserId): boolean {
  return isOwn(event, me) && event.content["membership"] === "join" && membershipBefore(event) !== "join";
}

function isOwn({ type, state_key }: CutEvent, me: UserId): boolean {
  return type === "m.room.member" && state_key === me;
}

/** As the homeserver says; undefined: it does not. */
function membershipBefore({ unsigned }: CutEvent): unknown {
  const fields: unknown = unsigned === null ? null : JSON.parse(unsigned);
  const before = isObject(fields) ? fields["prev_content"] : undefined;
  return isObject(before) ? before["membership"] : undefined;
}
