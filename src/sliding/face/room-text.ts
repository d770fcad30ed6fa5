/** Rooms of an answer, in either dialect. A room that other answers contain too is written once and cached. */

import { Slices } from "../../base/slices.ts";
import type { SlidingAnswer } from "../evaluate.ts";
import type { RoomContent, RoomResult } from "../room-content.ts";
import { agesIn, type EventRow, rowTextInRoom } from "../../store/event-row.ts";
import type { DeviceNo } from "../../wire/ids.ts";
import { type Fragment, fragment, joinPieces, type Piece } from "./answer-bytes.ts";
import { type Member, object } from "../../sync/json-text.ts";

export type EventWriter = (row: EventRow) => string;
type Members = readonly (Member | false | null | undefined)[];

/** How a dialect writes rooms. */
export type RoomDialect = {
  /** Members that are the same in all answers with that content. */
  readonly members: (content: RoomContent, event: EventWriter) => Members;
  /** Members of this answer alone, which follow. */
  readonly tail: (room: RoomResult) => Members;
  readonly fragments: FragmentCache;
};

/** The JSON of contents, for as long as they exist. A content with events of a device's own belongs to that device alone. */
export type FragmentCache = WeakMap<RoomContent, Fragment>;

/** @param head an object, to which the rooms are added */
export async function answerBytes(head: string, { rooms, now }: SlidingAnswer, device: DeviceNo, dialect: RoomDialect): Promise<Buffer> {
  const slices = new Slices();
  const pieces: Piece[] = [`${head.slice(0, -1)},"rooms":{`];
  for (const [index, room] of rooms.entries()) {
    if (slices.isDue) await slices.pause();
    const content = room.shared
      ? cachedText(room.content, device, dialect)
      : openText(dialect.members(room.content, (row) => rowTextInRoom(row, device, now)));
    const tail = object(dialect.tail(room));
    pieces.push(`${index === 0 ? "" : ","}${JSON.stringify(room.roomId)}:`, content, tail === "{}" ? "}" : `,${tail.slice(1)}`);
  }
  pieces.push("}}");
  return joinPieces(pieces, now);
}

function cachedText(content: RoomContent, device: DeviceNo, { members, fragments }: RoomDialect): Fragment {
  let text = fragments.get(content);
  if (text) return text;
  const ages: number[] = [];
  const writer = (row: EventRow) => {
    ages.push(...agesIn(row));
    return rowTextInRoom(row, device, null);
  };
  text = fragment(openText(members(content, writer)), ages);
  fragments.set(content, text);
  return text;
}

/** An object without its closing brace. */
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

export function pagingMembers({ paging }: RoomResult): (Member | undefined)[] {
  return [paging && ["prev_batch", JSON.stringify(paging.prevBatch)], paging && ["num_live", String(paging.live)]];
}
