/** The section of sticky events (MSC4480), the same in both dialects. */

import { rowTextInRoom } from "../../store/event-row.ts";
import { record } from "../../sync/json-text.ts";
import type { DeviceNo } from "../../wire/ids.ts";
import type { SlidingAnswer } from "../evaluate.ts";
import { sealStickySince } from "./to-device-since.ts";

/** null: there is nothing new. */
export function stickyEventsText({ stickyEvents, now }: SlidingAnswer, device: DeviceNo): string | null {
  if (!stickyEvents) return null;
  const rooms = record(stickyEvents.rooms, (events) => `{"events":[${events.map((row) => rowTextInRoom(row, device, now)).join(",")}]}`);
  return `{"next_batch":${JSON.stringify(sealStickySince(device, stickyEvents.next))},"rooms":${rooms}}`;
}
