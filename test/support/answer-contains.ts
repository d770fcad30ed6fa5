/** What a test waits for in answers of simplified sliding sync. */

import type { Json } from "./events.ts";
import type { SlidingAnswer } from "./sliding-connection.ts";

/** Whether an answer contains it. */
export type Contains = (answer: SlidingAnswer) => boolean;

/** An event in a room's timeline. */
export const inTimeline =
  (roomId: string, eventId: string): Contains =>
  ({ rooms }) =>
    ((rooms[roomId]?.["timeline"] ?? []) as Json[]).some((event) => event["event_id"] === eventId);

/** Someone's membership as the last one in a room's timeline. */
export const memberInTimeline =
  (roomId: string, userId: string, membership: string): Contains =>
  ({ rooms }) => {
    const events = ((rooms[roomId]?.["timeline"] ?? []) as Json[]).filter((event) => event["state_key"] === userId);
    return (events.at(-1)?.["content"] as Json | undefined)?.["membership"] === membership;
  };

/** A room, with this field. */
export const roomWith =
  (roomId: string, field: string): Contains =>
  ({ rooms }) =>
    rooms[roomId]?.[field] !== undefined;

/** Account data of a type, of a room where one is given. */
export const accountData =
  (type: string, roomId?: string): Contains =>
  ({ extensions }) => {
    const { global, rooms } = (extensions["account_data"] ?? {}) as { global?: Json[]; rooms?: Record<string, Json[]> };
    const events = (roomId === undefined ? global : rooms?.[roomId]) ?? [];
    return events.some((event) => event["type"] === type);
  };

/** Someone's receipt at an event. */
export const receipt =
  (roomId: string, eventId: string, userId: string, kind = "m.read"): Contains =>
  ({ extensions }) => {
    const { rooms } = (extensions["receipts"] ?? {}) as { rooms?: Record<string, { content: Record<string, Record<string, Json>> }> };
    return rooms?.[roomId]?.content[eventId]?.[kind]?.[userId] !== undefined;
  };

/** Who types in a room, all of them. */
export const typing =
  (roomId: string, ...userIds: string[]): Contains =>
  ({ extensions }) => {
    const { rooms } = (extensions["typing"] ?? {}) as { rooms?: Record<string, { content: { user_ids: string[] } }> };
    return JSON.stringify(rooms?.[roomId]?.content.user_ids.toSorted()) === JSON.stringify(userIds.toSorted());
  };

/** A to-device message with this text. */
export const toDevice =
  (text: string): Contains =>
  ({ extensions }) =>
    ((extensions["to_device"]?.["events"] ?? []) as { content: Json }[]).some(({ content }) => content["text"] === text);

/** A user whose devices have changed, or (`left`) are of no interest any more. */
export const devices =
  (userId: string, how: "changed" | "left" = "changed"): Contains =>
  ({ extensions }) => {
    const lists = extensions["e2ee"]?.["device_lists"] as Record<string, string[]> | undefined;
    return lists?.[how]?.includes(userId) ?? false;
  };
