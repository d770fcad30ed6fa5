/** Rooms of an answer, in either dialect: those that other answers have too are written once. */

import { Slices } from "../../base/slices.ts";
import type { SlidingAnswer } from "../evaluate.ts";
import type { RoomContent, RoomResult } from "../room-content.ts";
import { type EventRow, rowTextInRoom } from "../../store/event-row.ts";
import type { DeviceNo } from "../../wire/ids.ts";
import { type Fragment, fragment, joinPieces, type Piece } from "./answer-bytes.ts";
import { type Member, object } from "../../sync/json-text.ts";

export type EventWriter = (row: EventRow) => string;
type Members = readonly (Member | false | null | undefined)[];

/** How a dialect writes rooms. */
export type RoomDialect = {
  /** What is the same in all answers that have the content. */
  readonly members: (content: RoomContent, event: EventWriter) => Members;
  /** What is the answer's own: it follows. */
  readonly tail: (room: RoomResult) => Members;
  readonly kept: FragmentCache;
};

/** What contents are written as, while they are there. A content that a device's own events are in is that device's alone. */
export type FragmentCache = WeakMap<RoomContent, Fragment>;

/** @param head an object, to which the rooms are added. */
export async function answerBytes(head: string, { rooms, now }: SlidingAnswer, device: DeviceNo, dialect: RoomDialect): Promise<Buffer> {
  const slices = new Slices();
  const pieces: Piece[] = [`${head.slice(0, -1)},"rooms":{`];
  for (const [index, room] of rooms.entries()) {
    if (slices.isDue) await slices.pause();
    const content = room.shared
      ? keptText(room.content, device, dialect)
      : openText(dialect.members(room.content, (row) => rowTextInRoom(row, device, now)));
    const tail = object(dialect.tail(room));
    pieces.push(`${index === 0 ? "" : ","}${JSON.stringify(room.roomId)}:`, content, tail === "{}" ? "}" : `,${tail.slice(1)}`);
  }
  pieces.push("}}");
  return joinPieces(pieces, now);
}

function keptText(content: RoomContent, device: DeviceNo, { members, kept }: RoomDialect): Fragment {
  let text = kept.get(content);
  if (text) return text;
  const ages: number[] = [];
  const writer = (row: EventRow) => {
    if (row.age_ts !== null) ages.push(row.age_ts);
    return rowTextInRoom(row, device, null);
  };
  text = fragment(openText(members(content, writer)), ages);
  kept.set(content, text);
  return text;
}

/** An object that is still open. */
function openText(members: Members): string {
  return object(members).slice(0, -1);
}

/** The same in both dialects. */
export function timelineMembers(timeline: RoomContent["timeline"], limited: boolean | undefined, event: EventWriter): (Member | false | undefined)[] {
  return [
    timeline && timeline.events.length > 0 && ["timeline", `[${timeline.events.map(event).join(",")}]`],
    timeline && ["limited", String(limited)],
  ];
}

export function timelinePlace({ place }: RoomResult): (Member | undefined)[] {
  return [place && ["prev_batch", JSON.stringify(place.prevBatch)], place && ["num_live", String(place.live)]];
}
